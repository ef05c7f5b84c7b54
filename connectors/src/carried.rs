//! How far an operation of several calls was carried out, so that it goes on where it stopped.

use mappings::domain::Job;
use serde_json::{Map, Value, json};

/// The part of an operation that was carried out and must not be repeated, and the step it goes on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// The step to go on from.
    pub next: String,
    /// The last step that changed something.
    pub changed: String,
    /// The system's reference so far.
    pub job: Option<Job>,
    /// The answers of the steps before, by step, as later steps see them; none that is stored, since those are secrets.
    pub steps: Map<String, Value>,
}

impl Carried {
    /// As it is kept.
    pub fn json(&self) -> Value {
        let job = self.job.as_ref().map(|job| job.as_str());
        json!({"next": self.next, "changed": self.changed, "job": job, "steps": self.steps})
    }

    /// As it was kept; `None` where that is not what [`Carried::json`] gives.
    pub fn of(kept: &Value) -> Option<Self> {
        let text = |name: &str| kept.get(name).and_then(Value::as_str).map(str::to_owned);
        let job = match text("job") {
            Some(job) => Some(Job::parse(&job).ok()?),
            None => None,
        };
        let steps = kept.get("steps")?.as_object()?.clone();
        Some(Self { next: text("next")?, changed: text("changed")?, job, steps })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_carried_out_is_read_as_it_was_kept() {
        for job in [None, Job::parse("T-1").ok()] {
            let steps =
                Map::from_iter([("submit".to_owned(), json!({"status": 200, "body": {"token": "T-1"}}))]);
            let carried = Carried { next: "number".into(), changed: "submit".into(), job, steps };
            assert_eq!(Carried::of(&carried.json()), Some(carried));
        }
        assert_eq!(Carried::of(&json!({"next": "number"})), None);
    }
}
