//! `dovetail dead`: what the broker has set aside is read, given back or dropped.

use std::fmt::Write as _;

use anyhow::Context as _;
use mappings::domain::{Council, Ticket};
use serde_json::{Value, json};

use super::columns::columns;
use super::open::{self, Books};
use super::system::person;
use super::{DeadArgs, DeadCommand, DropArgs, Exit, Mistake, Shown};
use crate::bus::{Client, DeadLetter, DeadLetters, Topology};
use crate::config::Config;
use crate::envelope::{self, Glimpse};
use crate::intake::KEPT_BODY;
use crate::ledger::{InboxKey, KeptAs, Refusal};
use crate::unpack;

/// How much of its digest names a message.
const NAME: usize = 12;

/// The shortest beginning of a digest that names a message.
const SHORTEST: usize = 4;

/// Does what is asked.
///
/// # Errors
/// When there is no broker or it does not answer, or the ledger cannot be written.
pub(super) async fn run(command: DeadCommand, config: &Config) -> anyhow::Result<Shown> {
    if !config.has_bus() {
        let hint = "name one under bus.url, in the file of --config or as DOVETAIL__BUS__URL";
        return Err(Mistake::new("there is no broker in the configuration", hint).into());
    }
    let topology = config.bus.settings().topology;
    let client = Client::connect(&config.bus.url).await?;
    let letters = DeadLetters::new(&client, &topology);
    let shown = match command {
        DeadCommand::List { most } => list(&letters, &topology, most).await,
        DeadCommand::Show(args) => show(&letters, &args).await,
        DeadCommand::Return(args) => give_back(&letters, &args).await,
        DeadCommand::Drop(args) => take_away(&letters, &topology, args, config).await,
    };
    client.close().await;
    shown
}

/// How many messages the broker has set aside; `None` where there is no broker.
///
/// # Errors
/// The broker does not answer.
pub(super) async fn count(config: &Config) -> anyhow::Result<Option<u64>> {
    if !config.has_bus() {
        return Ok(None);
    }
    let client = Client::connect(&config.bus.url).await?;
    let count = DeadLetters::new(&client, &config.bus.settings().topology).count().await?;
    client.close().await;
    Ok(Some(count))
}

async fn list(letters: &DeadLetters<'_>, topology: &Topology, most: usize) -> anyhow::Result<Shown> {
    let count = letters.count().await?;
    let mut rows = Vec::new();
    while count > 0 && rows.len() < most {
        let Some(letter) = letters.next().await? else { break };
        rows.push(line(&letter));
    }
    if count == 0 {
        let text = format!("Nothing lies in {}.\n", topology.dead);
        return Ok(Shown { text, json: json!({"count": 0, "messages": []}), exit: Exit::Ok });
    }
    let word = |row: &Value, key: &str| {
        let bytes = row[key].as_u64().map(|bytes| bytes.to_string());
        row[key].as_str().map(str::to_owned).or(bytes).unwrap_or_default()
    };
    let keys = ["id", "queue", "reason", "bytes", "ticket"];
    let mut text = columns(
        ["ID", "QUEUE", "WHY", "BYTES", "TICKET"],
        rows.iter().map(|row| keys.map(|key| word(row, key))),
    );
    let listed = match u64::try_from(rows.len()) {
        Ok(listed) if listed < count => format!(", of which {listed} are listed; --most lists more"),
        Ok(_) | Err(_) => String::new(),
    };
    let _ = writeln!(
        text,
        "\n{count} in {}{listed}.\n  to read one: dovetail dead show ID\n  to have it delivered again: dovetail dead return ID\n  \
         to drop it, with a record of it in the ledger: dovetail dead drop ID --because WHY",
        topology.dead
    );
    Ok(Shown { text, json: json!({"count": count, "messages": rows}), exit: Exit::Ok })
}

async fn show(letters: &DeadLetters<'_>, args: &DeadArgs) -> anyhow::Result<Shown> {
    let found = find(letters, args).await?;
    let found = match found {
        Found::All(found) => found,
        Found::Not(shown) => return Ok(shown),
    };
    let Some(letter) = found.first() else { return Ok(not_found(&args.ids)) };
    let body = String::from_utf8_lossy(&letter.body).into_owned();
    let mut json = line(letter);
    json["exchange"] = json!(letter.exchange);
    json["routing_key"] = json!(letter.routing_key);
    json["content_type"] = json!(letter.content_type);
    json["headers"] = letter.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    json["body"] = json!(body);
    let mut text = String::new();
    for (name, value) in [
        ("queue", letter.queue.as_deref()),
        ("why", letter.reason.as_deref()),
        ("exchange", letter.exchange.as_deref()),
        ("routing key", Some(letter.routing_key.as_str())),
        ("content type", letter.content_type.as_deref()),
    ] {
        let _ = writeln!(text, "{name}: {}", value.unwrap_or("not known"));
    }
    for (name, value) in &letter.headers {
        let _ = writeln!(text, "{name}: {value}");
    }
    let _ = writeln!(text, "\n{body}");
    Ok(Shown { text, json, exit: Exit::Ok })
}

async fn give_back(letters: &DeadLetters<'_>, args: &DeadArgs) -> anyhow::Result<Shown> {
    let found = match find(letters, args).await? {
        Found::All(found) => found,
        Found::Not(shown) => return Ok(shown),
    };
    for letter in &found {
        let id = &digest(letter)[..NAME];
        let to = letter.queue.as_deref().unwrap_or("a queue that it does not name");
        letters.give_back(letter).await.with_context(|| {
            format!(
                "{id} cannot be delivered again to {to}; it stays where it is. Hint: dovetail dead show {id}"
            )
        })?;
    }
    Ok(done("returned", ("It is delivered again.", "They are delivered again."), &found))
}

/// Drops messages, each when the ledger has it as refused.
async fn take_away(
    letters: &DeadLetters<'_>,
    topology: &Topology,
    args: DropArgs,
    config: &Config,
) -> anyhow::Result<Shown> {
    let Books { ledger, .. } = open::open(&args.ledger, config).await?;
    let lessee = open::lessee(true);
    let by = person(args.by);
    if args.because.trim().is_empty() {
        return Err(Mistake::new("--because is empty", "say why, for whoever finds it in the ledger").into());
    }
    let found = match find(letters, &args.which).await? {
        Found::All(found) => found,
        Found::Not(shown) => return Ok(shown),
    };
    for letter in &found {
        let why = letter.reason.as_deref().unwrap_or("for a reason that it did not give");
        let (council, ticket) = subject(letter);
        let refusal = Refusal {
            key: InboxKey { source: format!("/{}", topology.dead), id: envelope::digest(&letter.body) },
            council,
            ticket,
            path: None,
            reason: format!(
                "the broker had set it aside ({why}), and {by} dropped it because {}",
                args.because
            )
            .into(),
            revision: None,
            kept_as: KeptAs::Nothing,
            body: unpack::beginning(&letter.body, None, KEPT_BODY).into_owned(),
            received_at: ledger.now().await?,
            traceparent: None,
            sent_with: None,
        };
        let written = ledger.refuse(&[refusal], &lessee).await?;
        for reply in written.replies {
            reply?;
        }
        letters.take_away(letter).await?;
    }
    let then =
        ("What it held stands under dovetail problems.", "What each held stands under dovetail problems.");
    Ok(done("dropped", then, &found))
}

/// The messages that are named.
enum Found {
    /// Each of them.
    All(Vec<DeadLetter>),
    /// Not each of them is there, or one name fits several: nothing is done, and this is said.
    Not(Shown),
}

/// Those that are named, each by the beginning of its digest; what is not is given back to the queue unchanged.
async fn find(letters: &DeadLetters<'_>, args: &DeadArgs) -> anyhow::Result<Found> {
    if let Some(id) = args.ids.iter().find(|id| id.len() < SHORTEST) {
        let found = format!("{id:?} is too short to name a message");
        return Err(Mistake::new(&found, "give the ID that dovetail dead list prints").into());
    }
    let mut found = Vec::new();
    for _ in 0..letters.count().await? {
        let Some(letter) = letters.next().await? else { break };
        let is_meant = args.all || args.ids.iter().any(|id| digest(&letter).starts_with(id.as_str()));
        if is_meant {
            found.push(letter);
        }
    }
    Ok(match judge(&args.ids, &found.iter().map(digest).collect::<Vec<_>>()) {
        None => Found::All(found),
        Some(shown) => Found::Not(shown),
    })
}

/// What keeps a command from acting on messages of these digests.
fn judge(ids: &[String], digests: &[String]) -> Option<Shown> {
    let fits = |id: &String| digests.iter().filter(|digest| digest.starts_with(id.as_str())).count();
    let missing: Vec<String> = ids.iter().filter(|id| fits(id) == 0).cloned().collect();
    if !missing.is_empty() {
        return Some(not_found(&missing));
    }
    let several: Vec<&str> = ids.iter().filter(|id| fits(id) > 1).map(String::as_str).collect();
    (!several.is_empty()).then(|| Shown {
        text: format!(
            "Nothing was done: {} names several messages. Give more of the ID that dovetail dead list prints.\n",
            several.join(", ")
        ),
        json: json!({"ambiguous": several}),
        exit: Exit::NotOk,
    })
}

fn done(word: &str, (of_one, of_all): (&str, &str), letters: &[DeadLetter]) -> Shown {
    let then = match letters.len() {
        0 => "There was nothing.",
        1 => of_one,
        _ => of_all,
    };
    Shown {
        text: format!("{} {word}. {then}\n", letters.len()),
        json: json!({word: letters.iter().map(line).collect::<Vec<_>>()}),
        exit: Exit::Ok,
    }
}

fn not_found(missing: &[String]) -> Shown {
    let text = format!("Nothing was done: {} is not there. See dovetail dead list.\n", missing.join(", "));
    Shown { text, json: json!({"not_found": missing}), exit: Exit::NotOk }
}

fn digest(letter: &DeadLetter) -> String {
    envelope::digest(&letter.body)
}

fn subject(letter: &DeadLetter) -> (Option<Council>, Option<Ticket>) {
    let Glimpse { council, ticket, .. } = Glimpse::of(&unpack::beginning(&letter.body, None, KEPT_BODY));
    (council, ticket)
}

fn line(letter: &DeadLetter) -> Value {
    let (council, ticket) = subject(letter);
    json!({
        "id": digest(letter)[..NAME],
        "queue": letter.queue,
        "reason": letter.reason,
        "bytes": letter.body.len(),
        "council": council.as_ref().map(|council| council.as_str()),
        "ticket": ticket.as_ref().map(|ticket| ticket.as_str()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_done_where_one_message_is_not_there_or_a_name_fits_several() {
        let digests = ["abcd11".to_owned(), "abcd22".to_owned(), "ef0000".to_owned()];
        let judged = |ids: &[&str]| {
            let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
            judge(&ids, &digests).map(|shown| shown.text)
        };
        assert_eq!(judged(&["abcd1", "ef00"]), None);
        assert_eq!(judged(&[]), None, "all of them");
        let missing = judged(&["abcd1", "nope"]).expect("said");
        assert!(missing.contains("nope is not there") && !missing.contains("abcd1"), "{missing}");
        assert!(judged(&["abcd"]).expect("said").contains("abcd names several messages"));
    }
}
