//! Lines of the log that nobody else can write: what others wrote is escaped, so that it neither begins a line of its own
//! nor drives a terminal.

use std::error::Error;
use std::fmt::{self, Debug, Write as _};
use std::io;

use mappings::domain::escaped;
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing_subscriber::Layer;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::fmt::{self as logs, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use crate::config::LogFormat;

/// The lines of a log in one of its formats. Colours are ours alone, and only for a terminal.
pub(super) fn lines<S>(
    format: LogFormat,
    is_coloured: bool,
    out: BoxMakeWriter,
) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    match format {
        LogFormat::Text => logs::layer().fmt_fields(Escaped).with_ansi(is_coloured).with_writer(out).boxed(),
        LogFormat::Json => logs::layer().json().with_ansi(false).with_writer(Json(out)).boxed(),
    }
}

/// Writes fields as `name=value`, each value escaped.
struct Escaped;

impl<'writer> FormatFields<'writer> for Escaped {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut line = Line { writer, is_begun: false, written: Ok(()) };
        fields.record(&mut line);
        line.written
    }
}

struct Line<'writer> {
    writer: Writer<'writer>,
    is_begun: bool,
    written: fmt::Result,
}

impl Line<'_> {
    fn put(&mut self, field: &Field, value: &str) {
        let space = if std::mem::replace(&mut self.is_begun, true) { " " } else { "" };
        let value = escaped(value);
        let written = match field.name() {
            "message" => write!(self.writer, "{space}{value}"),
            name => write!(self.writer, "{space}{name}={value}"),
        };
        self.written = self.written.and(written);
    }
}

impl Visit for Line<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.put(field, value),
            _ => self.put(field, &format!("{value:?}")),
        }
    }

    fn record_error(&mut self, field: &Field, error: &(dyn Error + 'static)) {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            // An error that only passes its cause on has told it already.
            let cause_text = cause.to_string();
            if !text.ends_with(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            source = cause.source();
        }
        self.put(field, &text);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, &format!("{value:?}"));
    }
}

/// JSON leaves some control characters in its texts as they are, which a terminal would obey.
struct Json(BoxMakeWriter);

impl<'a> MakeWriter<'a> for Json {
    type Writer = JsonLine<Box<dyn io::Write + 'a>>;

    fn make_writer(&'a self) -> Self::Writer {
        JsonLine(self.0.make_writer())
    }
}

struct JsonLine<W>(W);

impl<W: io::Write> io::Write for JsonLine<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let mut safe = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                '\n' => safe.push(c),
                _ if mappings::domain::is_harmful(c) => {
                    let _ = write!(safe, "\\u{:04x}", u32::from(c));
                }
                _ => safe.push(c),
            }
        }
        self.0.write_all(safe.as_bytes()).map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::filter::filter_fn;
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::{EnvFilter, registry};

    use super::*;
    use crate::bus;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, is_coloured: bool, filter: &str, log: impl FnOnce()) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let out = BoxMakeWriter::new(move || writer.clone());
        let subscriber = registry()
            .with(EnvFilter::try_new(filter).unwrap())
            .with(filter_fn(|event| bus::may_be_logged(event.target(), *event.level())))
            .with(lines(format, is_coloured, out));
        tracing::subscriber::with_default(subscriber, log);
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    const EVIL: &str =
        "a\r\n2026-11-30T09:00:00Z  INFO router: forged\u{1b}[2J\u{9b}2J\u{2028}\u{202e}\u{7f}";

    fn log_evil() {
        let span = tracing::info_span!("evil", name = EVIL, shown = %EVIL);
        let _entered = span.enter();
        let error = std::io::Error::other(EVIL);
        tracing::warn!(said = EVIL, shown = %EVIL, debugged = ?EVIL, error = &error as &dyn Error, "{EVIL}");
    }

    #[test]
    fn no_value_begins_a_line_of_its_own_or_drives_a_terminal() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = logged(format, false, "trace", log_evil);
            assert_eq!(text.lines().count(), 1, "{text}");
            let bad = text.trim_end_matches('\n').chars().find(|c| mappings::domain::is_harmful(*c));
            assert_eq!(bad, None, "{text:?}");
            assert!(text.contains("forged"), "{text}");
        }
        let json = logged(LogFormat::Json, false, "trace", log_evil);
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["fields"]["said"], EVIL);
    }

    #[test]
    fn colours_are_written_only_where_they_are_asked_for() {
        let log = || tracing::warn!(said = EVIL, "plain");
        assert!(!logged(LogFormat::Text, false, "trace", log).contains('\u{1b}'));
        let coloured = logged(LogFormat::Text, true, "trace", log);
        assert!(coloured.contains("\u{1b}[33m") && !coloured.contains("\u{1b}[2J"), "{coloured:?}");
        assert!(!logged(LogFormat::Json, true, "trace", log).contains('\u{1b}'));
    }

    #[test]
    fn an_error_is_told_with_its_causes_once() {
        let error = anyhow::anyhow!("the disk is full").context("the ledger cannot write");
        let log = || tracing::error!(error = &*error as &dyn Error, "stopped");
        let text = logged(LogFormat::Text, false, "info", log);
        assert!(text.ends_with("stopped error=the ledger cannot write: the disk is full\n"), "{text}");
    }
}
