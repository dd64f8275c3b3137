//! What cannot be taken back is asked once more, on a page of its own that needs no script.

use askama::Template;
use axum::{http::StatusCode, response::Response};

use super::Visit;
use crate::{
    app::App,
    pages::{Frame, nav::Place, page},
};

/// A question and its button.
pub(super) struct Question<'a> {
    pub(super) title: String,
    pub(super) text: String,
    pub(super) button: &'a str,
    /// Where the form goes, below the company.
    pub(super) path: String,
    /// Where to go back to, below the company.
    pub(super) back: &'a str,
    pub(super) place: Place,
    /// The company's name must be typed.
    pub(super) wants_name: bool,
    pub(super) problem: &'a str,
}

#[derive(Template)]
#[template(path = "portal/confirm.html")]
struct Confirm<'a> {
    frame: Frame,
    text: &'a str,
    button: &'a str,
    path: String,
    back: String,
    name: Option<&'a str>,
    problem: &'a str,
}

impl Question<'_> {
    pub(super) fn page(&self, app: &App, visit: &Visit, status: StatusCode) -> Response {
        let company = visit.tenant.company.as_str();
        let confirm = Confirm {
            frame: visit.frame(app, self.title.as_str(), self.place).narrow(),
            text: &self.text,
            button: self.button,
            path: visit.path(&self.path),
            back: visit.path(self.back),
            name: self.wants_name.then_some(company),
            problem: self.problem,
        };
        page(status, &confirm, None)
    }
}
