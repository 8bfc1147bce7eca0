//! Files for spreadsheets.

use axum::response::{IntoResponse, Response};
use http::header;
use rollcall_shared::time::UnixMs;

/// A file of rows, in the making.
#[derive(Debug)]
pub(super) struct Csv {
    name: &'static str,
    writer: csv::Writer<Vec<u8>>,
}

impl Csv {
    /// A file called `rollcall-NAME.csv` with these columns.
    pub fn new(name: &'static str, columns: &[&str]) -> Self {
        let mut csv = Self {
            name,
            writer: csv::Writer::from_writer(Vec::new()),
        };
        csv.row(columns);
        csv
    }

    pub fn row(&mut self, cells: &[&str]) {
        let cells = cells.iter().map(|cell| harmless(cell));
        self.writer
            .write_record(cells)
            .expect("rows of one file have one length, and memory takes them");
    }

    fn into_text(self) -> Vec<u8> {
        self.writer.into_inner().expect("memory takes what is left")
    }
}

/// A spreadsheet must not take a text of a laptop for a formula.
fn harmless(cell: &str) -> String {
    match cell.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r') => format!("'{cell}"),
        _ => cell.to_owned(),
    }
}

/// A time as spreadsheets read it; empty where there is none.
pub(super) fn csv_time(at: Option<UnixMs>) -> String {
    at.map(|at| at.to_string()).unwrap_or_default()
}

impl IntoResponse for Csv {
    fn into_response(self) -> Response {
        let file = format!("attachment; filename=\"rollcall-{}.csv\"", self.name);
        let headers = [
            (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
            (header::CONTENT_DISPOSITION, file),
        ];
        (headers, self.into_text()).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_texts() {
        let mut csv = Csv::new("x", &["a", "b"]);
        csv.row(&["=1+1", "x, \"y\""]);
        let text = String::from_utf8(csv.into_text()).unwrap();
        assert_eq!(text, "a,b\n'=1+1,\"x, \"\"y\"\"\"\n");
    }
}
