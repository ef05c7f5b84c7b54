//! Requests as open data tells of them, a page at a time.

use mappings::domain::RequestId;

use crate::report::Course;

/// A page of requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Those that are meant.
    pub courses: Vec<Course>,
    /// After which the next page begins; `None` on the last.
    pub next: Option<RequestId>,
}
