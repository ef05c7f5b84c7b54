//! What is served, as a table: nothing is served that is not in it.

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::routing::MethodRouter;

use crate::api::Problem;

/// What a caller has to bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// A key of `http.keys`.
    Key,
    /// The proof that the mapping of the system asks for: a signature, a secret.
    Proof,
    /// Nothing.
    Nothing,
}

/// A path, the method by which it is called, and what that needs.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// `GET` (which answers `HEAD`, too) or `POST`.
    pub method: &'static str,
    /// As it is matched: `{name}` stands for one segment.
    pub path: String,
    /// What a caller has to bring.
    pub needs: Needs,
    handler: MethodRouter,
}

impl Endpoint {
    /// Something that is read.
    pub fn get(path: &str, needs: Needs, handler: MethodRouter) -> Self {
        Self { method: "GET", path: path.to_owned(), needs, handler }
    }

    /// Something that is given in.
    pub fn post(path: &str, needs: Needs, handler: MethodRouter) -> Self {
        Self { method: "POST", path: path.to_owned(), needs, handler }
    }
}

/// The table as a service; `fallback` answers all other paths. A slash at the end of a path makes no difference.
pub(crate) fn router(endpoints: &[Endpoint], fallback: Router) -> Router {
    let add = |router: Router, endpoint: &Endpoint| {
        let router = router.route(&endpoint.path, endpoint.handler.clone());
        if endpoint.path.ends_with('/') {
            return router;
        }
        router.route(&format!("{}/", endpoint.path), endpoint.handler.clone())
    };
    endpoints.iter().fold(fallback, add).method_not_allowed_fallback(not_so)
}

/// What `Allow` says beside it is added by the router.
async fn not_so(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}: expected a method that Allow names", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "Not by this method", detail)
}
