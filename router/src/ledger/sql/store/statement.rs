//! A statement with its values, written once for both databases.

use std::borrow::Cow;

/// A text as it is bound, or its absence.
pub(in crate::ledger) trait IntoText {
    /// The text to bind.
    fn into_text(self) -> Option<String>;
}

impl IntoText for String {
    fn into_text(self) -> Option<String> {
        Some(if self.contains('\0') { self.replace('\0', "\u{fffd}") } else { self })
    }
}

impl IntoText for &str {
    fn into_text(self) -> Option<String> {
        self.to_owned().into_text()
    }
}

impl<T: IntoText> IntoText for Option<T> {
    fn into_text(self) -> Option<String> {
        self.and_then(IntoText::into_text)
    }
}

/// One value to bind.
#[derive(Debug, Clone)]
pub(in crate::ledger) enum Bind {
    /// A text or null.
    Text(Option<String>),
    /// A number or null.
    Int(Option<i64>),
}

/// One column of a batch to bind.
#[derive(Debug, Clone)]
pub(in crate::ledger) enum Column {
    /// Texts, one a row.
    Texts(Vec<Option<String>>),
    /// Numbers, one a row.
    Ints(Vec<Option<i64>>),
}

/// A text of SQL with the values that belong to it.
///
/// Single values are `$1`, `$2`, … in the order they were given. A batch is the table `{rows}`, whose
/// columns have the names they were given with; its text is the same for a batch of any size, so that
/// each statement is prepared once a connection. `{lock}` and `{skip locked}` lock rows where the
/// database locks rows. No text can hold a NUL, which PostgreSQL refuses: it becomes U+FFFD.
#[derive(Debug, Clone)]
pub(in crate::ledger) struct Statement {
    pub(super) sql: Cow<'static, str>,
    pub(super) binds: Vec<Bind>,
    pub(super) columns: Vec<(&'static str, Column)>,
    /// No other statement of its transaction touches the rows that it writes.
    apart: bool,
}

impl Statement {
    /// A statement without values yet.
    pub(in crate::ledger) fn new(sql: impl Into<Cow<'static, str>>) -> Self {
        Self { sql: sql.into(), binds: Vec::new(), columns: Vec::new(), apart: false }
    }

    /// The same, of which it is known that no other statement of its transaction touches the rows that it writes.
    pub(in crate::ledger) fn apart(self) -> Self {
        Self { apart: true, ..self }
    }

    /// Binds the next single value, a text.
    pub(in crate::ledger) fn text(mut self, value: impl IntoText) -> Self {
        self.binds.push(Bind::Text(value.into_text()));
        self
    }

    /// Binds the next single value, a number.
    pub(in crate::ledger) fn int(mut self, value: impl Into<Option<i64>>) -> Self {
        self.binds.push(Bind::Int(value.into()));
        self
    }

    /// Adds a column of texts to `{rows}`.
    pub(in crate::ledger) fn texts<R, T: IntoText>(
        mut self,
        name: &'static str,
        rows: impl IntoIterator<Item = R>,
        read: impl Fn(R) -> T,
    ) -> Self {
        let texts = rows.into_iter().map(|row| read(row).into_text()).collect();
        self.columns.push((name, Column::Texts(texts)));
        self
    }

    /// Adds a column of numbers to `{rows}`.
    pub(in crate::ledger) fn ints<R, N: Into<Option<i64>>>(
        mut self,
        name: &'static str,
        rows: impl IntoIterator<Item = R>,
        read: impl Fn(R) -> N,
    ) -> Self {
        let ints = rows.into_iter().map(|row| read(row).into()).collect();
        self.columns.push((name, Column::Ints(ints)));
        self
    }

    /// Whether this and another may write the same row: neither may then run where it does not see the other.
    pub(super) fn meets(&self, other: &Self) -> bool {
        let (verb, table) = self.target();
        let (other_verb, other_table) = other.target();
        let insert = verb == "insert" && other_verb == "insert";
        table == other_table && !insert && !self.apart && !other.apart
    }

    /// What it does first, and to which table.
    fn target(&self) -> (&str, &str) {
        let mut words = self.sql.split_whitespace();
        let verb = words.find(|word| ["insert", "update", "delete"].contains(word)).unwrap_or_default();
        (verb, words.find(|word| !["into", "from"].contains(word)).unwrap_or_default())
    }

    /// The text with the fragments of a dialect in place.
    pub(super) fn expand(&self, rows: &str, lock: &str, skip_locked: &str) -> String {
        self.sql.replace("{rows}", rows).replace("{lock}", lock).replace("{skip locked}", skip_locked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meet(one: &'static str, other: &'static str) -> bool {
        Statement::new(one).meets(&Statement::new(other))
    }

    #[test]
    fn statements_meet_where_they_may_write_the_same_row() {
        let (insert, other) =
            ("with v as ({rows}) insert into due (id) select id from v", "insert into due (id)");
        let update = "with v as ({rows}) update due set lease = 1 from v";
        let delete = "with v as ({rows}) delete from due where id in (select id from v)";
        assert!(!meet(insert, other), "a key that is there twice is refused");
        assert!(meet(insert, update) && meet(update, insert) && meet(update, update));
        assert!(meet(insert, delete) && meet(delete, update));
        assert!(!meet(update, "with v as ({rows}) update requests set state = v.state from v"));
        assert!(!Statement::new(insert).meets(&Statement::new(delete).apart()));
    }
}
