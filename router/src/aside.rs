//! Keeps for a person what a system said and what cannot be read.

use jiff::Timestamp;
use mappings::domain::SystemName;
use mappings::mapping::BadItem;

use crate::envelope;
use crate::ledger::{Failed, InboxKey, KeptAs, Refusal, Writer};

/// The most items of one list that are kept: where more are wrong, the list is not what its mapping says.
pub(crate) const MOST: usize = 1_000;

/// The source of what cannot be read of a system, in the list of what waits for a person.
pub fn source(system: &SystemName) -> String {
    format!("/systems/{system}")
}

/// Keeps items that cannot be read, each once, however often it is listed. Says how many are news.
///
/// # Errors
/// The ledger could not write.
pub(crate) async fn set_aside(
    writer: &Writer,
    system: &SystemName,
    items: Vec<BadItem>,
    now: Timestamp,
) -> Result<usize, Failed> {
    let refusals = items.into_iter().take(MOST).map(|item| {
        tracing::debug!(system = %system, reason = item.reason, size = item.size, "an item of a list was set aside");
        let id = envelope::digest(format!("{} {}", item.size, item.text).as_bytes());
        writer.refuse(Refusal {
            key: InboxKey { source: source(system), id },
            council: None,
            ticket: None,
            path: None,
            reason: format!("what {system} said cannot be read: {}", item.reason).into(),
            revision: None,
            body: item.text.into_bytes(),
            kept_as: KeptAs::Nothing,
            received_at: now,
            traceparent: None,
            sent_with: None,
        })
    });
    let kept = futures::future::try_join_all(refusals).await?;
    let news = kept.into_iter().filter(|is_news| *is_news).count();
    if news > 0 {
        tracing::warn!(system = %system, items = news, "items of a list cannot be read and were set aside");
        metrics::counter!("dovetail_items_set_aside_total", "system" => system.to_string())
            .increment(u64::try_from(news).unwrap_or(u64::MAX));
    }
    Ok(news)
}
