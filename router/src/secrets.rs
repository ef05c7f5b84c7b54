//! The secrets by which others are known to us: what cannot be used stops the start, what can be guessed is told.

use connectors::callback;
use mappings::mapping::Catalogue;

use crate::config::{self, Config};

/// Refuses secrets of webhooks that nobody can sign with.
///
/// # Errors
/// The system, and what was expected.
pub fn check(catalogue: &Catalogue) -> anyhow::Result<()> {
    for system in catalogue.systems() {
        if let Some(webhook) = &system.webhook
            && let Err(refused) = callback::usable(&webhook.verify)
        {
            anyhow::bail!("systems/{}/system.yaml: completion.webhook.verify: {refused}", system.name);
        }
    }
    Ok(())
}

/// What is to be said of keys and secrets that can be guessed, a sentence each. None of them shows a secret.
pub fn weaknesses(config: &Config, catalogue: &Catalogue) -> Vec<String> {
    let keys = config.http.keys.iter().flat_map(config::Key::weaknesses);
    let webhooks = catalogue.systems().filter_map(|system| {
        let secrets = system.webhook.as_ref()?.verify.secrets()?;
        let shortest = secrets.each().map(|(_, secret)| secret.expose().len()).min()?;
        (shortest < config::SHORT).then(|| {
            format!(
                "the secret of the webhook of {} has {shortest} characters: expected {} or more, made at random; \
                 hint: openssl rand -hex 24",
                system.name,
                config::SHORT
            )
        })
    });
    keys.chain(webhooks).collect()
}
