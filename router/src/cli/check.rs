//! `dovetail check`: connects to everything that the configuration names, and says what can be reached.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use connectors::Connector;
use mappings::mapping::{Auth, System, Verify, address};
use serde_json::json;

use super::{Exit, Shown};
use crate::bus;
use crate::config::{self, Config};
use crate::{closing, files, ledger, library, secrets};

/// How long one part may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What one part came to.
struct Reached {
    part: String,
    address: String,
    result: Result<Duration, String>,
    /// What there is to know of a part that could be reached.
    note: Option<String>,
}

/// Tries the settings, the mappings, the ledger, the broker and every system, in this order. What cannot be
/// tried without a part that failed is left out, and says so.
///
/// # Errors
/// Never for what is checked: that is said, with exit code 1.
pub(super) async fn run(file: Option<&Path>) -> anyhow::Result<Shown> {
    let config = Config::load(file)?;
    let sources = library::read(config.mappings.folder())?;
    let mut reached = Vec::new();

    let started = Instant::now();
    let catalogue = library::compile_only(&sources, &config.mappings.systems, &config::resolve);
    let mappings =
        if config.mappings.folder.is_empty() { "shipped".to_owned() } else { config.mappings.folder.clone() };
    let compiled = catalogue.as_ref().map_err(ToString::to_string).and_then(|catalogue| {
        secrets::check(catalogue).map(|()| started.elapsed()).map_err(|error| error.to_string())
    });
    reached.push(Reached { part: "mappings".into(), address: mappings, result: compiled, note: None });

    reached.push(ledger(&config).await);
    if config.has_bus() {
        let result = tokio::time::timeout(PATIENCE, bus::reach(&config.bus.url)).await;
        let result = result.map_or_else(
            |_| Err("no answer".to_owned()),
            |reached| reached.map_err(|error| error.to_string()),
        );
        reached.push(Reached {
            part: "bus".into(),
            address: config::without_password(&config.bus.url),
            result,
            note: None,
        });
    }
    let untried =
        not_tried(&config, catalogue.iter().flat_map(|catalogue| catalogue.systems()).map(AsRef::as_ref));
    for system in catalogue.iter().flat_map(|catalogue| catalogue.systems()) {
        let result = match Connector::new(system) {
            Ok(connector) => tokio::time::timeout(PATIENCE, connector.reach())
                .await
                .unwrap_or_else(|_| Err("no answer".into())),
            Err(error) => Err(error.to_string()),
        };
        reached.push(Reached {
            part: system.name.to_string(),
            address: address::shown(&system.connection.base_url),
            result,
            note: None,
        });
        if let Some((files, address)) = system.files.as_ref().and_then(|files| Some((files, files.place()?)))
        {
            let started = Instant::now();
            let result = tokio::time::timeout(PATIENCE, files::reach(files)).await;
            let result = result.map_or_else(
                |_| Err("no answer".to_owned()),
                |reached| reached.map(|()| started.elapsed()).map_err(|error| error.to_string()),
            );
            reached.push(Reached { part: format!("{} files", system.name), address, result, note: None });
        }
    }
    let weaknesses = catalogue.map(|catalogue| secrets::weaknesses(&config, &catalogue)).unwrap_or_default();
    Ok(shown(&reached, &weaknesses, &untried))
}

/// What is not tried, since trying it would change something or lies beyond this machine; a sentence each.
fn not_tried<'s>(config: &Config, systems: impl Iterator<Item = &'s System>) -> Vec<String> {
    let mut untried = vec!["That the ledger's database has room, and is backed up.".to_owned()];
    if config.has_bus() {
        let exchange = &config.bus.settings().topology.events;
        untried.push(format!(
            "What the user may do at the broker: nothing is declared, consumed or published. Whether somebody hears what \
             goes to {exchange} is told by /health/ready when the router runs."
        ));
    }
    for system in systems {
        let name = &system.name;
        match &system.connection.auth {
            Auth::None => {}
            Auth::OAuth2(_) => untried.push(format!(
                "{name}: what the access token is good for. It was fetched, and not used for a call."
            )),
            Auth::Basic { .. }
            | Auth::Bearer(_)
            | Auth::Token(_)
            | Auth::ApiKey { .. }
            | Auth::WsSecurity { .. } => {
                untried.push(format!(
                    "{name}: its credentials, and any of its calls. Only the server's address was asked; that it answered \
                     says nothing of whether it takes them."
                ));
            }
        }
        if let Some(webhook) = &system.webhook {
            let proof = match webhook.verify {
                Verify::None => ". It need not prove who it is",
                Verify::SharedSecret { .. }
                | Verify::Basic { .. }
                | Verify::HmacSha256 { .. }
                | Verify::StandardWebhooks { .. } => ", and that its proof of who it is agrees with ours",
            };
            untried.push(format!(
                "{name}: that it can call {} on {} through firewalls and proxies{proof}.",
                webhook.path, config.http.listen
            ));
        }
        match &system.files {
            None => {}
            Some(files) if files.folder.is_none() => untried.push(format!(
                "{name}: its files. The variable that names their folder is not set, so none are taken."
            )),
            Some(_) => untried.push(format!(
                "{name}: that its files can be moved within their folder, and receipts written."
            )),
        }
    }
    untried
}

async fn ledger(config: &Config) -> Reached {
    let closer: ledger::Closer = std::sync::Arc::new(|_| closing::Decision::Wait);
    let reader: ledger::Reader = std::sync::Arc::new(|_, _, _| mappings::mapping::Meaning::Unrecognised);
    let started = Instant::now();
    let answered = async {
        let ledger = ledger::open_to_read(&config.ledger.url, closer, reader, 1).await?;
        ledger.now().await
    };
    let address = config::without_password(&config.ledger.url);
    let yet = |note: String| Reached {
        part: "ledger".into(),
        address: address.clone(),
        result: Ok(Duration::ZERO),
        note: Some(note),
    };
    if let Some(folder) = no_file_yet(&config.ledger.url) {
        return match std::fs::metadata(&folder) {
            Ok(found) if found.is_dir() => yet("there is none yet: dovetail serve makes it".to_owned()),
            Ok(_) | Err(_) => Reached {
                part: "ledger".into(),
                address,
                result: Err(format!("there is no folder {} to make it in", folder.display())),
                note: None,
            },
        };
    }
    let result = match tokio::time::timeout(PATIENCE, answered).await {
        Ok(Ok(_)) => Ok(started.elapsed()),
        // Not a fault: the next start makes or changes the tables.
        Ok(Err(ledger::Error::Schema(found @ (ledger::Schema::None | ledger::Schema::Older { .. })))) => {
            return yet(found.to_string());
        }
        Ok(Err(error)) => Err(format!("{:#}", anyhow::Error::from(error))),
        Err(_) => Err("no answer".to_owned()),
    };
    Reached { part: "ledger".into(), address, result, note: None }
}

/// The folder of an SQLite ledger whose file is not there yet.
fn no_file_yet(address: &str) -> Option<PathBuf> {
    let path = address.strip_prefix("sqlite:")?;
    let path = Path::new(path.strip_prefix("//").unwrap_or(path));
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    (!path.exists()).then(|| folder.to_owned())
}

fn shown(reached: &[Reached], weaknesses: &[String], untried: &[String]) -> Shown {
    let mut text = String::new();
    let mut parts = Vec::new();
    for Reached { part, address, result, note } in reached {
        let (mark, words) = match (result, note) {
            (Ok(_), Some(note)) => ("ok  ", note.clone()),
            (Ok(took), None) => ("ok  ", format!("{} ms", took.as_millis())),
            (Err(reason), _) => ("FAIL", reason.clone()),
        };
        text += &format!("{mark}  {part:<12} {address}  {words}\n");
        parts.push(json!({"part": part, "address": address, "reached": result.is_ok(), "reason": result.as_ref().err(), "note": note}));
    }
    for weakness in weaknesses {
        text += &format!("weak  {weakness}\n");
    }
    if !untried.is_empty() {
        text.push_str("\nNot tried:\n");
    }
    for sentence in untried {
        text += &format!("  {sentence}\n");
    }
    let all = reached.iter().all(|reached| reached.result.is_ok());
    let exit = if all { Exit::Ok } else { Exit::NotOk };
    Shown {
        text,
        json: json!({"reached": all, "parts": parts, "weaknesses": weaknesses, "not_tried": untried}),
        exit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::{self, placeholder};

    #[test]
    fn what_was_not_tried_is_said_of_each_part() {
        let sources = library::read(None).expect("the shipped mappings");
        let catalogue = library::compile(&sources, &placeholder).expect("compiled");
        let mut config = Config::defaults().expect("defaults");
        let systems = || catalogue.systems().map(AsRef::as_ref);
        let without = not_tried(&config, systems()).join("\n");
        assert!(!without.contains("the broker"), "{without}");
        config.bus.url = "amqp://localhost".to_owned();
        let untried = not_tried(&config, systems());
        let shown = shown(&[], &[], &untried);
        for words in [
            "What the user may do at the broker",
            "waste: its credentials, and any of its calls.",
            "waste: that it can call /callbacks/waste on",
            "files",
        ] {
            assert!(shown.text.contains(words), "{words} is not in {}", shown.text);
        }
        assert_eq!(shown.json["not_tried"].as_array().map(Vec::len), Some(untried.len()));
    }
}
