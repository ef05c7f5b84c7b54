//! A query that grows by conditions, for lists that are asked for in many ways.

use super::store::Statement;

/// A value of a condition.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Int(i64),
}

/// What rows are asked for: the tables, and the conditions with their values.
#[derive(Debug, Clone)]
pub(super) struct Query {
    from: String,
    values: Vec<Value>,
}

impl Query {
    /// The rows of these tables that fulfil a condition.
    pub(super) fn of(tables: &str, condition: &str) -> Self {
        Self { from: format!("from {tables} where {condition}"), values: Vec::new() }
    }

    /// Those of them that fulfil this condition too; each `?` in it stands for the next value.
    pub(super) fn and(mut self, condition: &str, values: impl IntoIterator<Item = Value>) -> Self {
        self.from.push_str(" and ");
        self.from.push_str(&numbered(condition, self.values.len()));
        self.values.extend(values);
        self
    }

    /// What is selected of them, with what follows the conditions.
    pub(super) fn statement(
        &self,
        select: &str,
        then: &str,
        values: impl IntoIterator<Item = Value>,
    ) -> Statement {
        let then = numbered(then, self.values.len());
        let statement = Statement::new(format!("{select} {} {then}", self.from));
        self.values.iter().cloned().chain(values).fold(statement, |statement, value| match value {
            Value::Text(text) => statement.text(text),
            Value::Int(number) => statement.int(number),
        })
    }
}

fn numbered(text: &str, before: usize) -> String {
    let mut number = before;
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter == '?' {
            number += 1;
            out.push_str(&format!("${number}"));
        } else {
            out.push(letter);
        }
    }
    out
}
