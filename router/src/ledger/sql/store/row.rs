//! A row as it was read, taken apart from left to right.

use std::fmt::Display;

use jiff::Timestamp;

use crate::ledger::Error;

/// One value as it was read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// Nothing.
    Null,
    /// A text.
    Text(String),
    /// A number.
    Int(i64),
}

/// A row; every call takes its next column, whose name is used where its value is not of its form.
#[derive(Debug)]
pub(in crate::ledger) struct Row(std::vec::IntoIter<Value>);

impl Row {
    pub(super) fn new(values: Vec<Value>) -> Self {
        Self(values.into_iter())
    }

    /// A text or null.
    pub(in crate::ledger) fn maybe_text(&mut self, column: &'static str) -> Result<Option<String>, Error> {
        match self.0.next() {
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(Value::Null) => Ok(None),
            other @ (Some(Value::Int(_)) | None) => Err(stored(column, format!("{other:?}"))),
        }
    }

    /// A number or null.
    pub(in crate::ledger) fn maybe_int(&mut self, column: &'static str) -> Result<Option<i64>, Error> {
        match self.0.next() {
            Some(Value::Int(number)) => Ok(Some(number)),
            Some(Value::Null) => Ok(None),
            other @ (Some(Value::Text(_)) | None) => Err(stored(column, format!("{other:?}"))),
        }
    }

    /// A text.
    pub(in crate::ledger) fn text(&mut self, column: &'static str) -> Result<String, Error> {
        self.maybe_text(column)?.ok_or_else(|| stored(column, "null".into()))
    }

    /// A number.
    pub(in crate::ledger) fn int(&mut self, column: &'static str) -> Result<i64, Error> {
        self.maybe_int(column)?.ok_or_else(|| stored(column, "null".into()))
    }

    /// A number that cannot be negative.
    pub(in crate::ledger) fn number<N: TryFrom<i64>>(&mut self, column: &'static str) -> Result<N, Error> {
        let number = self.int(column)?;
        N::try_from(number).map_err(|_| stored(column, number.to_string()))
    }

    /// Yes or no.
    pub(in crate::ledger) fn flag(&mut self, column: &'static str) -> Result<bool, Error> {
        Ok(self.int(column)? != 0)
    }

    /// A value of one of our own types.
    pub(in crate::ledger) fn get<T, E: Display>(
        &mut self,
        column: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<T, Error> {
        let text = self.text(column)?;
        parse(&text).map_err(|_| stored(column, text))
    }

    /// A value of one of our own types, or null.
    pub(in crate::ledger) fn maybe<T, E: Display>(
        &mut self,
        column: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Error> {
        let Some(text) = self.maybe_text(column)? else { return Ok(None) };
        parse(&text).map(Some).map_err(|_| stored(column, text))
    }

    /// A time.
    pub(in crate::ledger) fn time(&mut self, column: &'static str) -> Result<Timestamp, Error> {
        self.maybe_time(column)?.ok_or_else(|| stored(column, "null".into()))
    }

    /// A time or null.
    pub(in crate::ledger) fn maybe_time(&mut self, column: &'static str) -> Result<Option<Timestamp>, Error> {
        let Some(ms) = self.maybe_int(column)? else { return Ok(None) };
        // The last millisecond that a time can lie in is one too many to be made a time of again.
        let last = ms == Timestamp::MAX.as_millisecond();
        let at = if last { Ok(Timestamp::MAX) } else { Timestamp::from_millisecond(ms) };
        at.map(Some).map_err(|_| stored(column, ms.to_string()))
    }
}

fn stored(column: &'static str, found: String) -> Error {
    Error::Stored { column, found: found.chars().take(80).collect() }
}
