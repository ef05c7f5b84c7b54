//! How far an answer of the walk is read, and what its lists say.

use mappings::domain::Job;
use mappings::mapping::{Answer, List, Received, Step};
use serde_json::Value;

use super::Walk;
use crate::exchange::{self, Room};

/// The most that is read of a list whose items cannot be told in its text, so that it becomes a tree as a whole.
const TREE: usize = 4 << 20;

impl Walk<'_> {
    /// How much of an answer is read: lists may be long, and what is gathered as a tree less so.
    pub(super) fn room_for(&self, step: &Step) -> Room {
        match &self.reading {
            Some(_) if step.reads_long_lists() => Room::List(self.room),
            Some(_) if step.reads_reports() => Room::List(self.room.min(TREE)),
            None if self.gathers => Room::Document(TREE),
            Some(_) | None => Room::Document(exchange::LARGEST),
        }
    }

    /// Takes the items of a list out of an answer.
    pub(super) fn separate(&mut self, step: &Step, reply: &mut Received) -> Option<List> {
        self.too_large |= reply.is_too_large;
        if self.reading.is_none() || reply.is_too_large {
            return None;
        }
        self.room = self.room.saturating_sub(reply.answer.body.len());
        step.separate(reply)
    }

    /// Reads the reports of an answer that was accepted.
    pub(super) fn read_list(&mut self, step: &Step, answer: &Answer, list: Option<List>) {
        let Some(reading) = &mut self.reading else { return };
        let about = self.context.pointer("/dovetail/job").and_then(Value::as_str);
        let about = about.and_then(|job| Job::parse(job).ok());
        match step.reports(answer, list.as_ref(), about.as_ref()) {
            Ok(read) => reading.append(read),
            Err(error) => self.unread = self.unread.take().or(Some(error.reason)),
        }
    }
}
