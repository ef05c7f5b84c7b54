//! CSV as systems and spreadsheets write it: the line of each row, and the word in it or what was found there.

use super::super::rows::tests::{is, rows, told};
use super::super::text::LONGEST_ROW;

const CSV: &str = "format: csv";

/// Asserts the rows of a text, all of which is read.
fn reads(content: impl AsRef<[u8]>, expected: &[(u64, &str)]) {
    is(&rows(CSV, content), expected);
}

/// The line from which on a text cannot be read, and why.
fn refused(mapping: &str, content: impl AsRef<[u8]>) -> (u64, String) {
    told(mapping, content).1.expect("it is refused")
}

#[test]
fn csv_is_read_by_the_names_of_its_columns_with_the_line_of_each_row() {
    let content = "Job,Status, Note\r\nJ-1,Done,\"two\nlines, and a \"\"quote\"\"\"\r\n\r\nJ-2,Done\nJ-3,,\nJ-4,Late,x,\n";
    is(
        &rows("format: csv", content),
        &[(2, "Done"), (5, "bad: 2 fields"), (6, "bad: no status"), (7, "Late")],
    );
    let content = "\u{feff}Job;Status\nJ-1;Zoë";
    is(&rows("format: csv, delimiter: \";\"", content), &[(2, "Zoë")]);
    is(&rows("format: csv, columns: [Job, Status]", "J-1,Done\n"), &[(1, "Done")]);
}

#[test]
fn a_row_in_another_character_set_is_bad_and_its_neighbours_are_not() {
    let content = b"Job,Status\nJ-1,Done\nJ-2,Zo\xeb\nJ-3,Done\n";
    let found = "bad: bytes that are not valid UTF-8";
    is(&rows("format: csv", content), &[(2, "Done"), (3, found), (4, "Done")]);
    is(&rows("format: csv, encoding: windows-1252", content), &[(2, "Done"), (3, "Zoë"), (4, "Done")]);
}

#[test]
fn a_quote_that_is_never_closed_ends_the_reading_and_not_the_memory() {
    let content = format!("Job,Status\nJ-1,Done\nJ-2,\"{}", "x,".repeat(LONGEST_ROW));
    let (taken, broken) = told("format: csv", content);
    is(&taken, &[(2, "Done")]);
    assert_eq!(broken.expect("broken").1, "a row of more than 1 MiB");
    let (_, broken) = told("format: csv", "Job,Job\n");
    assert_eq!(broken, Some((1, "two columns Job".to_owned())));
    let (_, broken) = told("format: csv", "<html><body>Try again later</body></html>");
    assert_eq!(broken, Some((1, "markup where the header should be".to_owned())));
}

#[test]
fn a_first_line_may_say_what_stands_between_the_fields() {
    reads("sep=;\r\nJob;Status\r\nJ-1;Done\r\n", &[(3, "Done")]);
    reads("\u{feff}\"SEP=\t\"\nJob\tStatus\nJ-1\tDone, and dusted\n", &[(3, "Done, and dusted")]);
    is(&rows("format: csv, delimiter: \"|\"", "sep=,\nJob,Status\nJ-1,Done\n"), &[(3, "Done")]);
    is(&rows("format: csv, columns: [Job, Status]", "sep=;\nJ-1;Done\n"), &[(2, "Done")]);
}

#[test]
fn the_header_shows_which_delimiter_a_file_has() {
    for delimiter in [';', '\t', '|'] {
        let content = format!("Job{delimiter}Status\nJ-1{delimiter}\"Done, at last\"\n");
        reads(content, &[(2, "Done, at last")]);
    }
    is(&rows("format: csv, delimiter: \";\"", "Job,Status\nJ-1,Done\n"), &[(2, "Done")]);
    is(&rows("format: csv, columns: [Job, Status]", "J-1;Done\nJ-2;Late\n"), &[(1, "Done"), (2, "Late")]);
}

#[test]
fn titles_before_the_header_are_passed_over_and_its_letters_do_not_matter() {
    let content =
        "Completed jobs\n\"Printed 23/11/2026,\nby the night run\"\n,,\n JOB\u{a0},status,Note\nJ-1,Done,\n";
    reads(content, &[(6, "Done")]);
    reads("\"=\"\"Job\"\"\",Status,,\nJ-1,Done,,\n", &[(2, "Done")]);
    reads("Job,Status\nJ-1,Done\nJob,Status\nJ-2,Late\n", &[(2, "Done"), (4, "Late")]);
    is(&rows("format: csv, columns: [Job, Status]", "job,status\nJ-1,Done\n"), &[(2, "Done")]);
}

#[test]
fn a_file_without_a_header_that_fits_is_refused_with_what_it_needs() {
    let lacks = "no header among the first 20 rows";
    for content in ["Something,Else\n1,2\n", "Status,Note\nDone,x\n", "J-1,Done\n", "Job,State\n"] {
        assert_eq!(refused(CSV, content), (1, lacks.to_owned()), "{content}");
    }
    for content in ["", "\u{feff}", "\n\n", ",,\n"] {
        assert_eq!(refused(CSV, content).1, "no header", "{content:?}");
    }
    reads("Job,Status,Note\n", &[]);
    reads("Job;Status", &[]);
    is(&rows("format: csv, columns: [Job, Status]", ""), &[]);
}

#[test]
fn a_doubled_column_is_refused_only_where_it_is_read() {
    for header in ["Job,Status, Status", "Job,STATUS,status"] {
        let found = refused(CSV, format!("Receipts\n{header}\nJ-1,Done,Late\n"));
        assert_eq!(found, (2, "two columns Status".to_owned()), "{header}");
    }
    reads("Job,STATUS,Status\nJ-1,Late,Done\n", &[(2, "Done")]);
    reads("Job,Tel,Status,Tel\nJ-1,1,Done,2\n", &[(2, "Done")]);
}

#[test]
fn rows_of_nothing_are_no_rows() {
    reads("Job,Status\n,\n \u{a0},\r\n\"\",\"\"\nJ-1,Done\n,\n", &[(5, "Done")]);
}

#[test]
fn texts_written_as_formulas_are_those_texts() {
    let content = "Job,Status\n=\"00123\",Done\n\"=\"\"00124\"\"\",\"=\"\"Said \"\"\"\"ok\"\"\"\"\"\"\"\n";
    let (taken, broken) = told("format: csv", content);
    assert_eq!(broken, None);
    is(&taken, &[(2, "Done"), (3, "Said \"ok\"")]);
    let joined = "format: csv, delimiter: \";\"";
    is(&rows(joined, "Job;Status\n=\"1\";=\"a\"b\"\n"), &[(2, "=\"a\"b\"")]);
}

#[test]
fn what_a_spreadsheet_could_not_work_out_or_rounded_is_a_bad_row() {
    reads(
        "Job,Status,Tel\n#REF!,Done,\n1.23457E+14,Done,\nJ-3,#N/A,\nJ-4,Done,4.4E+11\n",
        &[
            (2, "bad: #REF! in the column Job"),
            (3, "bad: a number that was rounded in the column Job"),
            (4, "bad: #N/A in the column Status"),
            (5, "Done"),
        ],
    );
}

#[test]
fn lines_may_end_in_any_way() {
    reads("Job,Status\rJ-1,Done\rJ-2,Late\r", &[(2, "Done"), (3, "Late")]);
    reads("Job,Status\r\r\nJ-1,Done\r\r\n", &[(2, "Done")]);
    reads("Job,Status\nJ-1,\"two\r\nlines\"\r\nJ-2,Late", &[(2, "two\r\nlines"), (4, "Late")]);
}

#[test]
fn trailers_are_no_rows_and_what_they_count_is_compared() {
    let rows = "Job,Status\nJ-1,Done\nJ-2,Late\n";
    let both = [(2, "Done"), (3, "Late")];
    for trailer in
        ["Total,2", "2 rows", "End of report\n", "\n,\nRecord count: 2,\n*** EOF ***", "Total,,125.50"]
    {
        reads(format!("{rows}{trailer}"), &both);
    }
    let [one, two] = both;
    for trailer in ["Total,3", "TRAILER,0003", "(3 rows affected)"] {
        let found = "bad: a trailer that counts 3 rows after 2";
        reads(format!("{rows}{trailer}\n"), &[one, two, (4, found)]);
    }
    reads("Job,Status\n0 rows\n", &[]);
    reads("Job,Status\n1 rows\n", &[(2, "bad: a trailer that counts 1 rows after 0")]);
    // A sum of a column of numbers counts no rows.
    let sums = "Job,Status,Hours\nJ-1,Done,4\nJ-2,Done,5\nTotal,,9\n";
    reads(sums, &[(2, "Done"), (3, "Done")]);
}

#[test]
fn totals_among_the_rows_are_bad_rows_and_words_like_them_are_not() {
    let content = "Job,Status\nJ-1,Done\nTotal,1\nJ-2,Late\n1001,End\n";
    let found = "bad: a total, or the end of a report, among the rows";
    reads(content, &[(2, "Done"), (3, found), (4, "Late"), (5, "End")]);
    reads("Status,Job\nEnd,1001\n", &[(2, "End")]);
}

#[test]
fn utf16_is_read_with_or_without_a_mark() {
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    reads(wide("\u{feff}Job\tStatus\r\nJ-1\tZoë\r\n"), &[(2, "Zoë")]);
    reads(wide("Job,Status\r\nJ-1,Zoë\r\n"), &[(2, "Zoë")]);
}

#[test]
fn a_column_that_is_not_read_may_be_in_any_character_set() {
    let content = b"Job,Status,Street\nJ-1,Done,Caf\xe9 Row\n";
    reads(content, &[(2, "Done")]);
}

#[test]
fn a_title_that_is_not_text_ends_the_reading_where_it_stands() {
    let mut content: Vec<u8> = "Job,Status\nJ-1,Done\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    content.push(0);
    let (taken, broken) = told("format: csv, encoding: utf-16le", content);
    is(&taken, &[(2, "Done")]);
    assert_eq!(broken.expect("half a letter").1, "bytes that are not valid UTF-16LE");
}
