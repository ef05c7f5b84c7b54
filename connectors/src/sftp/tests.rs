//! Who is let in, and whom we trust. A server of our own: OpenSSH needs the machine's own users to check a password,
//! so it stands in the tests of the whole program with keys only (`tests/it/filed.rs`).

use std::net::Ipv4Addr;

use mappings::mapping::Secret;
use russh::keys::ssh_key::{EcdsaCurve, LineEnding, PrivateKey, PublicKey};
use russh::server::{self, Auth, ChannelOpenHandle, Msg, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId};
use russh_sftp::protocol::{self, FileAttributes, Status};
use russh_sftp::server::StatusReply;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;

const PASSWORD: &str = "correct horse";

/// What the server takes of its one user, and what it has in every folder.
struct Door {
    key: Option<PublicKey>,
    channel: Option<Channel<Msg>>,
}

impl server::Handler for Door {
    type Error = russh::Error;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, russh::Error> {
        Ok(if (user, password) == ("dovetail", PASSWORD) { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        let known = self.key.as_ref().is_some_and(|known| known.key_data() == key.public_key.key_data());
        Ok(if user == "dovetail" && known { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.channel = Some(channel);
        reply.accept().await;
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let Some(channel) = self.channel.take().filter(|_| name == "sftp") else {
            return session.channel_failure(id);
        };
        session.channel_success(id)?;
        russh_sftp::server::run(channel.into_stream(), Shelf { listed: false }).await;
        Ok(())
    }
}

/// A folder with one file.
struct Shelf {
    listed: bool,
}

impl russh_sftp::server::Handler for Shelf {
    type Error = StatusReply;

    fn unimplemented(&self) -> StatusReply {
        StatusCode::OpUnsupported.into()
    }

    async fn opendir(&mut self, id: u32, path: String) -> Result<protocol::Handle, StatusReply> {
        Ok(protocol::Handle { id, handle: path })
    }

    async fn readdir(&mut self, id: u32, _: String) -> Result<protocol::Name, StatusReply> {
        if std::mem::replace(&mut self.listed, true) {
            return Err(StatusCode::Eof.into());
        }
        let attributes = FileAttributes { size: Some(7), permissions: Some(0o100_644), ..Default::default() };
        Ok(protocol::Name { id, files: vec![protocol::File::new("done.csv", attributes)] })
    }

    async fn close(&mut self, id: u32, _: String) -> Result<Status, StatusReply> {
        let (error_message, language_tag) = (String::new(), String::new());
        Ok(Status { id, status_code: StatusCode::Ok, error_message, language_tag })
    }
}

fn made(algorithm: Algorithm) -> PrivateKey {
    PrivateKey::random(&mut rand::rng(), algorithm).expect("a key")
}

fn password(text: &str) -> Login {
    Login::Password(Secret::new(text.to_owned()))
}

/// Every kind of key that we take.
fn kinds() -> [Algorithm; 4] {
    let curves = [EcdsaCurve::NistP256, EcdsaCurve::NistP384, EcdsaCurve::NistP521];
    let [small, middle, large] = curves.map(|curve| Algorithm::Ecdsa { curve });
    [Algorithm::Ed25519, small, middle, large]
}

/// As `ssh-keyscan` prints it.
fn line_of(key: &PublicKey) -> HostKey {
    HostKey::Key { algorithm: key.algorithm().to_string(), base64: key.public_key_base64() }
}

fn digest_of(key: &PublicKey) -> HostKey {
    HostKey::Fingerprint(key.fingerprint(HashAlg::Sha256).to_string())
}

/// A server with these keys that lets in the owner of `user`: who we are there, with the password, and what keeps it up.
async fn server(keys: Vec<PrivateKey>, user: Option<PublicKey>) -> (Sftp, JoinSet<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let host_key = line_of(keys[0].public_key());
    let at_once = Some(Duration::ZERO);
    let config = Arc::new(server::Config {
        keys,
        auth_rejection_time: Duration::ZERO,
        auth_rejection_time_initial: at_once,
        ..Default::default()
    });
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut sessions = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let door = Door { key: user.clone(), channel: None };
            let config = Arc::clone(&config);
            sessions.spawn(async move {
                if let Ok(session) = server::run_stream(config, stream, door).await {
                    // How it ends is the client's to tell.
                    drop(session.await);
                }
            });
        }
    });
    let login = password(PASSWORD);
    let user = "dovetail".to_owned();
    (Sftp { host: Ipv4Addr::LOCALHOST.to_string(), port, user, login, host_key }, serving)
}

async fn listed(server: &Sftp) -> io::Result<Vec<String>> {
    let files = Visit::start(server, "/out").await?.files().await?;
    Ok(files.into_iter().map(|file| file.name).collect())
}

async fn refusal(server: &Sftp) -> String {
    let error = listed(server).await.expect_err("nobody is let in");
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
    error.to_string()
}

#[tokio::test]
async fn a_password_opens_the_folder_and_a_wrong_one_is_told_without_being_shown() {
    let (right, _serving) = server(vec![made(Algorithm::Ed25519)], None).await;
    assert_eq!(listed(&right).await.expect("let in"), ["done.csv"]);

    let wrong = Sftp { login: password("wrong battery"), ..right.clone() };
    let said = refusal(&wrong).await;
    assert!(
        said.starts_with("the server does not take the password of the user dovetail; it takes "),
        "{said}"
    );
    assert!(!said.contains("battery"), "{said}");
    let stranger = Sftp { user: "stranger".to_owned(), ..right };
    assert!(refusal(&stranger).await.contains("of the user stranger"));
}

#[tokio::test]
async fn a_server_is_known_by_its_key_of_any_kind_that_we_take() {
    for kind in kinds() {
        let key = made(kind.clone());
        let (known, _serving) = server(vec![key.clone()], None).await;
        assert_eq!(listed(&known).await.expect("the key as a line"), ["done.csv"], "{kind}");
        let known = Sftp { host_key: digest_of(key.public_key()), ..known };
        assert_eq!(listed(&known).await.expect("the key's digest"), ["done.csv"], "{kind}");

        let other = made(kind.clone());
        for host_key in [line_of(other.public_key()), digest_of(other.public_key())] {
            let said = refusal(&Sftp { host_key, ..known.clone() }).await;
            let shown = key.fingerprint(HashAlg::Sha256).to_string();
            assert!(said.contains(&shown) && said.contains("not the host_key"), "{kind}: {said}");
        }
    }
}

#[tokio::test]
async fn of_a_servers_keys_the_known_one_is_asked_for() {
    let keys = kinds().map(made).to_vec();
    let (server, _serving) = server(keys.clone(), None).await;
    for key in keys {
        let known = Sftp { host_key: line_of(key.public_key()), ..server.clone() };
        assert_eq!(listed(&known).await.expect("it shows that one"), ["done.csv"], "{}", key.algorithm());
    }
}

/// A server that has these host keys, as far as it gets: it says what it has, and waits.
async fn server_of(host_keys: &'static str) -> (u16, JoinSet<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        // SSH_MSG_KEXINIT (RFC 4253, section 7.1), in a packet of its section 6.
        let mut init = vec![20];
        init.extend([7; 16]);
        let (cipher, mac) = ("aes256-ctr", "hmac-sha2-256");
        for list in ["curve25519-sha256", host_keys, cipher, cipher, mac, mac, "none", "none", "", ""] {
            init.extend(u32::try_from(list.len()).expect("short").to_be_bytes());
            init.extend(list.as_bytes());
        }
        init.extend([0; 5]);
        let padding = 4 + (8 - (5 + init.len() + 4) % 8) % 8;
        let length = u32::try_from(1 + init.len() + padding).expect("short");
        let mut packet = b"SSH-2.0-OpenSSH_9.2\r\n".to_vec();
        packet.extend(length.to_be_bytes());
        packet.push(u8::try_from(padding).expect("short"));
        packet.extend(init);
        packet.extend(vec![0; padding]);
        stream.write_all(&packet).await.expect("said");
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.expect("an end");
    });
    (port, serving)
}

#[tokio::test]
async fn a_server_with_keys_of_rsa_only_is_refused_by_name_with_what_to_do() {
    let key = made(Algorithm::Ed25519);
    let (known, _serving) = server(vec![key.clone()], None).await;
    let rsa = HostKey::Key { algorithm: "ssh-rsa".to_owned(), base64: "AAAA".to_owned() };
    for host_key in [digest_of(key.public_key()), line_of(key.public_key()), rsa] {
        let (port, _serving) = server_of("rsa-sha2-512,rsa-sha2-256").await;
        let said = refusal(&Sftp { host_key: host_key.clone(), port, ..known.clone() }).await;
        assert!(said.contains("host_key") && said.contains("rsa") | said.contains("an RSA key"), "{said}");
        assert!(said.contains("ask the supplier for a host key of Ed25519"), "{host_key:?}: {said}");
    }
}

#[tokio::test]
async fn we_are_known_by_a_key_of_any_kind_that_we_take() {
    for kind in kinds() {
        let key = made(kind.clone());
        let (server, _serving) = server(vec![made(Algorithm::Ed25519)], Some(key.public_key().clone())).await;
        let as_written = |key: &PrivateKey| {
            Login::Key(Secret::new(
                key.to_openssh(LineEnding::LF).expect("as ssh-keygen writes it").to_string(),
            ))
        };
        let ours = Sftp { login: as_written(&key), ..server.clone() };
        assert_eq!(listed(&ours).await.expect("let in"), ["done.csv"], "{kind}");
        let another = Sftp { login: as_written(&made(kind.clone())), ..server };
        assert!(refusal(&another).await.contains("does not take the key of the user dovetail"), "{kind}");
    }
}
