//! A folder on an SFTP server: SSH (RFC 4253) with version 3 of the SSH File Transfer Protocol
//! (draft-ietf-secsh-filexfer-02), which OpenSSH and those who follow it speak.
//!
//! The server must show the key that the mapping names; no key is trusted because it is the first. RSA keys are not
//! used, neither for servers nor for us: the one library for them has an open advisory (RUSTSEC-2023-0071).

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mappings::mapping::{HostKey, Login, Secret, Sftp};
use russh::AlgorithmKind;
use russh::client::{self, AuthResult, Handle};
use russh::keys::{Algorithm, HashAlg, PrivateKeyWithHashAlg, PublicKeyBase64, PublicKeyOrCertificate};
use russh_sftp::client::SftpSession;
use russh_sftp::client::error::Error as Failure;
use russh_sftp::client::fs::Metadata;
use russh_sftp::protocol::{OpenFlags, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// How long it may take until the folder can be asked for: connecting, proving who we are, starting SFTP.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a server may say nothing.
const SILENCE: Duration = Duration::from_secs(60);

/// The most bytes of a small file that is read whole.
const SMALL: u64 = 4 << 20;
/// How a link is called to a person.
pub const LINK: &str = "a symbolic link, which is not followed";
/// How much is copied at once.
const PART: usize = 64 * 1024;

/// What stands in a folder under one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, without the folder.
    pub name: String,
    /// What it is, where it is no file.
    pub odd: Option<&'static str>,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last written, to the second.
    pub changed: Option<SystemTime>,
}

/// A connection to one folder. It ends when this is dropped.
pub struct Visit {
    sftp: SftpSession,
    folder: String,
    /// The connection lives as long as this.
    _session: Handle<Known>,
}

impl Visit {
    /// Connects, makes sure that it is the server that the mapping means, and proves who we are.
    ///
    /// # Errors
    /// The server cannot be reached, shows another key, does not take ours, or has no SFTP.
    pub async fn start(server: &Sftp, folder: &str) -> io::Result<Self> {
        let started = async {
            let session = connect(server).await?;
            let channel = session.channel_open_session().await.map_err(io::Error::other)?;
            channel.request_subsystem(true, "sftp").await.map_err(io::Error::other)?;
            let sftp = SftpSession::new(channel.into_stream()).await.map_err(failed)?;
            Ok(Self { sftp, folder: folder.trim_end_matches('/').to_owned(), _session: session })
        };
        let started = tokio::time::timeout(CONNECT, started).await;
        started.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer")))
    }

    /// What stands in it, but for folders.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub async fn files(&self) -> io::Result<Vec<Entry>> {
        let folder = if self.folder.is_empty() { "/" } else { &self.folder };
        let entries = self.sftp.read_dir(folder).await.map_err(failed)?;
        let entries = entries.filter(|entry| !entry.metadata().is_dir());
        Ok(entries.map(|entry| self::entry(entry.file_name(), &entry.metadata())).collect())
    }

    /// One file of it; `None` where there is none of this name. A link is none.
    ///
    /// # Errors
    /// The server does not say.
    pub async fn file(&self, name: &str) -> io::Result<Option<Entry>> {
        let metadata = self.sftp.symlink_metadata(self.path(name)).await.map_err(failed);
        let entry = if_there(metadata)?.map(|metadata| entry(name.to_owned(), &metadata));
        Ok(entry.filter(|entry| entry.odd.is_none()))
    }

    /// Whether there is anything of this name.
    ///
    /// # Errors
    /// The server does not say.
    pub async fn has(&self, name: &str) -> io::Result<bool> {
        Ok(if_there(self.sftp.symlink_metadata(self.path(name)).await.map_err(failed))?.is_some())
    }

    /// Copies a file of this size from the server; `false` where it is gone, is another one, or is longer or shorter than
    /// that by now: then the copy is worth nothing. No more than its size is written.
    ///
    /// SFTP cannot be told to follow no link: it is looked before and after whether the name stands for what was opened.
    ///
    /// # Errors
    /// It cannot be read to its end, or not written here.
    pub async fn fetch(&self, name: &str, size: u64, to: &mut tokio::fs::File) -> io::Result<bool> {
        if self.file(name).await?.is_none() {
            return Ok(false);
        }
        let Some(mut from) = if_there(self.sftp.open(self.path(name)).await.map_err(failed))? else {
            return Ok(false);
        };
        let opened = from.metadata().await.map_err(failed)?;
        let Some(named) = self.file(name).await? else { return Ok(false) };
        let changed = opened.modified().ok();
        if opened.len() != size || named.size != size || changed.is_some_and(|_| changed != named.changed) {
            return Ok(false);
        }
        let (mut part, mut copied) = (vec![0; PART], 0);
        loop {
            let read = from.read(&mut part).await?;
            copied += read as u64;
            if read == 0 || copied > size {
                break;
            }
            to.write_all(&part[..read]).await?;
        }
        to.flush().await?;
        Ok(copied == size)
    }

    /// Reads a small file; `None` where there is none of this name, and nothing where it is no file, or a large one.
    ///
    /// # Errors
    /// It cannot be read to its end.
    pub async fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        if !self.has(name).await? {
            return Ok(None);
        }
        match self.file(name).await? {
            Some(entry) if entry.size <= SMALL => {
                let Some(from) = if_there(self.sftp.open(self.path(name)).await.map_err(failed))? else {
                    return Ok(None);
                };
                let mut content = Vec::new();
                from.take(SMALL).read_to_end(&mut content).await?;
                Ok(Some(content))
            }
            Some(_) | None => Ok(Some(Vec::new())),
        }
    }

    /// Writes a small file of a new name.
    ///
    /// # Errors
    /// The name is used, or it cannot be written; half of it may be there.
    pub async fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let flags = OpenFlags::CREATE | OpenFlags::EXCLUDE | OpenFlags::WRITE;
        let mut file = self.sftp.open_with_flags(self.path(name), flags).await.map_err(failed)?;
        file.write_all(content).await?;
        // Where the server cannot write through to its disk, this does nothing.
        file.sync_all().await.map_err(failed)?;
        file.close().await
    }

    /// Makes a folder inside this one, if it is not there.
    ///
    /// # Errors
    /// It is not there and cannot be made, or something else has its name.
    pub async fn make_folder(&self, name: &str) -> io::Result<()> {
        if self.is_folder(name).await? {
            return Ok(());
        }
        match self.sftp.create_dir(self.path(name)).await {
            // Another was quicker.
            Err(_) if self.is_folder(name).await? => Ok(()),
            made => made.map_err(failed),
        }
    }

    /// Whether there is a folder of this name inside this one.
    ///
    /// # Errors
    /// Something else has its name, or the server does not say.
    pub async fn is_folder(&self, name: &str) -> io::Result<bool> {
        let metadata = self.sftp.symlink_metadata(self.path(name)).await.map_err(failed);
        match if_there(metadata)? {
            None => Ok(false),
            Some(metadata) if metadata.is_dir() => Ok(true),
            Some(metadata) => {
                let is = entry(name.to_owned(), &metadata).odd.unwrap_or("a file");
                Err(io::Error::new(
                    io::ErrorKind::NotADirectory,
                    format!("{name} is {is}; expected a folder"),
                ))
            }
        }
    }

    /// Gives a file another name, which must not be taken.
    ///
    /// # Errors
    /// `NotFound` where there is no such file, and whatever the server says.
    pub async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.sftp.rename(self.path(from), self.path(to)).await.map_err(failed)
    }

    /// Removes a file.
    ///
    /// # Errors
    /// `NotFound` where there is no such file, and whatever the server says.
    pub async fn remove(&self, name: &str) -> io::Result<()> {
        self.sftp.remove_file(self.path(name)).await.map_err(failed)
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }
}

fn entry(name: String, metadata: &Metadata) -> Entry {
    let odd = if metadata.file_type().is_file() {
        None
    } else if metadata.file_type().is_symlink() {
        Some(LINK)
    } else {
        Some("no file of rows")
    };
    Entry { name, odd, size: metadata.len(), changed: metadata.modified().ok() }
}

fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn failed(failure: Failure) -> io::Error {
    let kind = match &failure {
        Failure::Status(status) => match status.status_code {
            StatusCode::NoSuchFile => io::ErrorKind::NotFound,
            StatusCode::PermissionDenied => io::ErrorKind::PermissionDenied,
            StatusCode::OpUnsupported => io::ErrorKind::Unsupported,
            StatusCode::NoConnection | StatusCode::ConnectionLost => io::ErrorKind::ConnectionAborted,
            StatusCode::Ok | StatusCode::Eof | StatusCode::Failure | StatusCode::BadMessage => {
                io::ErrorKind::Other
            }
        },
        Failure::Timeout => io::ErrorKind::TimedOut,
        Failure::IO(_) | Failure::Limited(_) | Failure::UnexpectedPacket | Failure::UnexpectedBehavior(_) => {
            io::ErrorKind::Other
        }
    };
    io::Error::new(kind, failure)
}

async fn connect(server: &Sftp) -> io::Result<Handle<Known>> {
    let mut config =
        client::Config { inactivity_timeout: Some(SILENCE), nodelay: true, ..Default::default() };
    if let HostKey::Key { algorithm, .. } = &server.host_key {
        // A server may have keys of several kinds; it is asked for the one that is known.
        let algorithm: Algorithm =
            algorithm.parse().map_err(|_| refused(format!("host_key: {algorithm} is no kind of key")))?;
        if matches!(algorithm, Algorithm::Rsa { .. }) {
            return Err(refused(format!("host_key: an RSA key; {NOT_RSA}")));
        }
        config.preferred.key = Cow::Owned(vec![algorithm]);
    } else {
        config.preferred.key.to_mut().retain(|algorithm| !matches!(algorithm, Algorithm::Rsa { .. }));
    }
    let known = Known(server.host_key.clone());
    let address = (server.host.as_str(), server.port);
    let mut session = client::connect(Arc::new(config), address, known).await.map_err(io_of)?;
    let (offered, result) = match &server.login {
        Login::Key(key) => {
            let key = private(key)?;
            let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
            ("key", session.authenticate_publickey(&server.user, key).await)
        }
        Login::Password(password) => {
            ("password", session.authenticate_password(&server.user, password.expose()).await)
        }
    };
    match result.map_err(|error| io_of(error.into()))? {
        AuthResult::Success => Ok(session),
        AuthResult::Failure { remaining_methods, .. } => {
            let takes: Vec<&str> = remaining_methods.iter().map(Into::into).collect();
            let takes = if takes.is_empty() { "nothing".to_owned() } else { takes.join(", ") };
            Err(refused(format!(
                "the server does not take the {offered} of the user {}; it takes {takes}",
                server.user
            )))
        }
    }
}

fn private(key: &Secret) -> io::Result<russh::keys::PrivateKey> {
    let key = russh::keys::decode_secret_key(key.expose().trim(), None).map_err(|error| {
        refused(format!("key: {error}; expected a private key without a passphrase, as ssh-keygen writes it"))
    })?;
    if matches!(key.algorithm(), Algorithm::Rsa { .. }) {
        return Err(refused("key: an RSA key; expected one made by ssh-keygen -t ed25519".to_owned()));
    }
    Ok(key)
}

/// What to do about a host key of RSA.
const NOT_RSA: &str = "RSA keys are not taken: ask the supplier for a host key of Ed25519 or ECDSA beside it (on \
     OpenSSH ssh-keygen -A makes them), and put its line or fingerprint there";

fn refused(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, reason)
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Ssh(#[from] russh::Error),
    #[error(
        "the server's key is {0}, which is not the host_key; if the supplier says that it changed, put it there"
    )]
    Stranger(String),
}

fn io_of(broken: Broken) -> io::Error {
    match broken {
        Broken::Ssh(russh::Error::IO(error)) => error,
        Broken::Ssh(russh::Error::NoCommonAlgo { kind: AlgorithmKind::Key, theirs, .. })
            if theirs.iter().any(|theirs| theirs.contains("rsa")) =>
        {
            refused(format!("the server has no host_key but {}; {NOT_RSA}", theirs.join(", ")))
        }
        Broken::Ssh(error) => io::Error::other(error),
        Broken::Stranger(_) => refused(broken.to_string()),
    }
}

/// Takes one key of the server and no other.
struct Known(HostKey);

impl client::Handler for Known {
    type Error = Broken;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Broken> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else { return Ok(false) };
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        let known = match &self.0 {
            HostKey::Fingerprint(known) => *known == fingerprint,
            HostKey::Key { base64, .. } => *base64 == key.public_key_base64(),
        };
        if known { Ok(true) } else { Err(Broken::Stranger(fingerprint)) }
    }
}

#[cfg(test)]
mod tests;
