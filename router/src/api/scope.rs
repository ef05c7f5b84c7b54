//! What a key speaks for: its councils, in what is taken and in what is refused.

use axum::http::StatusCode;
use mappings::domain::Council;

use super::Problem;
use crate::config::Key;
use crate::intake::Understood;

/// Notes the key with everything that was read, and refuses the whole where it is about a council that the key does not
/// speak for. Of a refusal without a council the ticket is not kept, since it may be another council's; where the key
/// speaks for one council alone, it is that one's.
///
/// # Errors
/// The council, in an answer 403.
pub(super) fn bound(key: &Key, mut read: Vec<Understood>) -> Result<Vec<Understood>, Problem> {
    for understood in &mut read {
        let council = match &*understood {
            Ok(arrival) => Some(arrival.subject().0),
            Err(refusal) => refusal.council.as_ref(),
        };
        if let Some(council) = council.filter(|council| !key.speaks_for(council)) {
            let detail = format!("the key {:?} does not speak for council {:?}", key.name, council.as_str());
            return Err(Problem::new(StatusCode::FORBIDDEN, "Not permitted", detail));
        }
        match understood {
            Ok(arrival) => arrival.sent_with = Some(key.name.clone()),
            Err(refusal) => {
                refusal.sent_with = Some(key.name.clone());
                if refusal.council.is_none() && !key.speaks_for_all() {
                    refusal.council = only(&key.councils);
                    refusal.ticket = refusal.ticket.take().filter(|_| refusal.council.is_some());
                }
            }
        }
    }
    Ok(read)
}

fn only(councils: &[String]) -> Option<Council> {
    match councils {
        [one] => Council::parse(one).ok(),
        [] | [_, ..] => None,
    }
}
