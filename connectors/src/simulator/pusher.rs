//! Pushes changes to the router: those of one job in their order, with a few tries each.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, StatusCode};
use tokio::task::JoinSet;

use super::book::{Book, Index};
use super::{Fault, Kind, Shared, partner, waste};

/// Messages under way at a time.
const MOST: usize = 64;

/// Tries of one message; with the pauses between them they span half a minute.
const TRIES: u32 = 12;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// One message to the router.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) path: &'static str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}

/// The client that pushes.
pub(super) fn client() -> Client {
    // Already installed where a connector was made before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .connect_timeout(Duration::from_secs(2))
        .timeout(Duration::from_secs(10))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .expect("the settings of this client are valid")
}

/// Runs until the simulator ends; ends at once where nothing is pushed.
pub(super) async fn run(shared: Arc<Shared>, client: Client) {
    let Some(base) = shared.settings.callback.clone() else { return };
    let base: Arc<str> = base_of(&base, shared.kind).into();
    // What waits behind the message of the same job that is ready or under way.
    let mut behind: HashMap<Index, VecDeque<usize>> = HashMap::new();
    let mut ready: VecDeque<(Index, usize)> = VecDeque::new();
    let mut under_way: JoinSet<Index> = JoinSet::new();
    loop {
        for (job, change) in take(&shared) {
            match behind.get_mut(&job) {
                Some(waiting) => waiting.push_back(change),
                None => {
                    behind.insert(job, VecDeque::new());
                    ready.push_back((job, change));
                }
            }
        }
        while under_way.len() < MOST {
            let Some((job, change)) = ready.pop_front() else { break };
            let (shared, client, base) = (Arc::clone(&shared), client.clone(), Arc::clone(&base));
            under_way.spawn(async move {
                push(&shared, &client, &base, change).await;
                job
            });
        }
        tokio::select! {
            () = shared.shutdown.cancelled() => return,
            () = shared.changed.notified() => {}
            Some(Ok(job)) = under_way.join_next() => match behind.get_mut(&job).and_then(VecDeque::pop_front) {
                Some(change) => ready.push_back((job, change)),
                None => {
                    behind.remove(&job);
                }
            }
        }
    }
}

fn take(shared: &Shared) -> Vec<(Index, usize)> {
    let mut book = shared.book();
    let mut taken = Vec::new();
    for change in book.take_outgoing() {
        if message(shared, &book, change).is_none() {
            continue;
        }
        let times = if shared.live.strikes(Fault::DoubleCallback) { 2 } else { 1 };
        taken.extend(std::iter::repeat_n((book.change(change).job, change), times));
    }
    taken
}

/// The message about a change, where the system sends one.
pub(super) fn message(shared: &Shared, book: &Book, change: usize) -> Option<Message> {
    match shared.kind {
        Kind::Waste => waste::poke(shared, book, change),
        Kind::Partner => Some(partner::update(shared, book, change)),
        Kind::Housing | Kind::Revenues | Kind::Crm | Kind::CrmDynamics => None,
    }
}

/// The address of the router, to which the path of the callbacks is added: also where that was given with the address.
fn base_of(callback: &str, kind: Kind) -> &str {
    let path = format!("/callbacks/{}", kind.as_str());
    let callback = callback.trim_end_matches('/');
    callback.strip_suffix(&path).unwrap_or(callback).trim_end_matches('/')
}

async fn push(shared: &Shared, client: &Client, base: &str, change: usize) {
    let mut pause = FIRST_PAUSE;
    for number in 1..=TRIES {
        // Built anew each time: the signature holds the time of the try.
        let Some(message) = message(shared, &shared.book(), change) else { return };
        let address = format!("{base}{}", message.path);
        let mut request = client.post(&address).body(message.body);
        for (name, value) in message.headers {
            request = request.header(name, value);
        }
        let answered = request.send().await.map(|answer| answer.status());
        match answered {
            Ok(status) if status.is_success() => {
                shared.book().counts.pushed += 1;
                return;
            }
            Ok(StatusCode::GONE) => {
                tracing::warn!(
                    system = shared.kind.as_str(),
                    address,
                    status = 410,
                    "nobody wants what was pushed"
                );
                break;
            }
            Ok(_) | Err(_) => shared.book().counts.push_failures += 1,
        }
        // The first failure and the last are told, with what came back.
        if number == 1 || number == TRIES {
            let came = match answered {
                Ok(status) => format!("status {status}"),
                Err(error) => format!("no answer: {}", root(&error)),
            };
            tracing::warn!(
                system = shared.kind.as_str(),
                address,
                answer = came,
                tries = number,
                "what was pushed was not taken"
            );
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    shared.book().counts.pushes_given_up += 1;
    tracing::warn!(system = shared.kind.as_str(), change, "simulator gave up a callback");
}

/// The first cause of an error, which says more than that a request failed.
fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_the_callbacks_is_added_once() {
        for callback in [
            "http://router:8080",
            "http://router:8080/",
            "http://router:8080/callbacks/waste",
            "http://router:8080/callbacks/waste/",
        ] {
            assert_eq!(base_of(callback, Kind::Waste), "http://router:8080", "{callback}");
        }
        assert_eq!(base_of("http://gate/dovetail/", Kind::Partner), "http://gate/dovetail");
    }
}
