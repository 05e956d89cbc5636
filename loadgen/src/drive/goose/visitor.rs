//! A visitor: what one Goose user knows, and the steps that it takes.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::CONTENT_TYPE;
use proofload_scenarios::random::{self, Purpose, mix};
use proofload_scenarios::scenario::Step;
use proofload_scenarios::url_of;
use proofload_scenarios::workload::unknown_code;
use rand_pcg::Pcg64Mcg;
use reqwest::{Body, Client};

use super::stage::Stage;
use crate::exchange::{
    Answer, Exchange, Failure, Judgement, Operation, check_created, check_visit, expect_status,
};

/// What a request is for: the name that its times and counts bear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Create,
    CreateCustom,
    VisitOwn,
    VisitHot,
    VisitUnknown,
    DeleteOwn,
    VisitDeleted,
}

/// The kinds of requests to the shortener by name. Those of HTTP steps follow them.
pub const KINDS: [&str; 7] =
    ["create", "create-custom", "visit-own", "visit-hot", "visit-unknown", "delete-own", "visit-deleted"];

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Create,
    CreateCustom,
    VisitOwn,
    VisitHot,
    VisitUnknown,
    DeleteOwn,
    /// A request by the template of that number.
    Http(u16),
}

impl Act {
    /// `templates` numbers the HTTP steps in their order.
    pub fn of(step: &Step, templates: &mut impl Iterator<Item = u16>) -> Self {
        match step {
            Step::Create => Act::Create,
            Step::CreateCustom => Act::CreateCustom,
            Step::VisitOwn => Act::VisitOwn,
            Step::VisitHot => Act::VisitHot,
            Step::VisitUnknown => Act::VisitUnknown,
            Step::DeleteOwn => Act::DeleteOwn,
            Step::Http(_) => Act::Http(templates.next().unwrap_or_default()),
        }
    }
}

/// One user.
#[derive(Clone)]
pub struct Visitor {
    hot: Pcg64Mcg,
    unknown: Pcg64Mcg,
    /// The number of its walk through a journey.
    row: u64,
    /// The link that it created last, until it deletes it.
    own: Option<Own>,
}

/// The link that a user made last.
#[derive(Clone)]
pub struct Own {
    pub code: String,
    pub sequence: u64,
    url: String,
}

impl Visitor {
    pub fn new(stage: &Stage, user: u64) -> Self {
        let seed = stage.journeys.seed ^ mix(user + 1);
        Self {
            hot: random::stream(seed, Purpose::Visits),
            unknown: random::stream(seed, Purpose::UnknownCodes),
            row: 0,
            own: None,
        }
    }

    /// Begins another walk.
    pub fn set_out(&mut self, stage: &Stage) {
        self.row = stage.walks.fetch_add(1, Relaxed);
    }

    /// Takes one step. After the end it only waits: Goose's loop over the steps has no pause of its own.
    pub async fn walk(&mut self, stage: &Stage, client: &Client, act: Act) {
        let ended = stage.journeys.templates.end().is_some_and(|end| self.row >= end);
        if ended || !stage.may_send() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            return;
        }
        match act {
            Act::Create => self.create(stage, client, Kind::Create).await,
            Act::CreateCustom => self.create(stage, client, Kind::CreateCustom).await,
            Act::VisitOwn => self.visit_own(stage, client).await,
            Act::VisitHot => self.visit_hot(stage, client).await,
            Act::VisitUnknown => self.visit_unknown(stage, client).await,
            Act::DeleteOwn => self.delete_own(stage, client).await,
            Act::Http(template) => self.ask(stage, client, template).await,
        }
    }

    /// Makes the request of an HTTP step.
    async fn ask(&self, stage: &Stage, client: &Client, template: u16) {
        let operation = Operation::Http { template, row: self.row };
        let templates = &stage.journeys.templates;
        let (parts, body) = templates.request(operation).into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let request = client
            .request(parts.method, format!("{}{path}", stage.base))
            .headers(parts.headers)
            .body(Body::wrap(body));
        let kind = KINDS.len() + usize::from(template);
        let _ = stage.exchange(kind, request, |answer| templates.check(operation, answer)).await;
    }

    async fn create(&mut self, stage: &Stage, client: &Client, kind: Kind) {
        let sequence = stage.sequence.fetch_add(1, Relaxed);
        let url = url_of(stage.journeys.seed, sequence);
        let custom = (kind == Kind::CreateCustom).then(|| custom_code(stage.journeys.seed, sequence));
        let body = match &custom {
            Some(code) => format!("{{\"url\":\"{url}\",\"code\":\"{code}\"}}"),
            None => format!("{{\"url\":\"{url}\"}}"),
        };
        let request = client
            .post(format!("{}/api/links", stage.base))
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        let check = |answer: &Answer<'_>| match (check_created(&url, answer), &custom) {
            (Judgement::Created(code), Some(asked)) if code != *asked => {
                Judgement::Wrong(format!("created under {code} where {asked} was asked"))
            }
            (judgement, _) => judgement,
        };
        match stage.exchange(kind as usize, request, check).await {
            Ok((Judgement::Created(code), _)) => {
                stage.remember(&code, sequence);
                self.own = Some(Own { code, sequence, url });
            }
            // It may be stored all the same.
            Ok((Judgement::Wrong(_), status)) if status.is_server_error() || status.is_success() => {
                stage.doubt(sequence);
            }
            Err(failure) if failure != Failure::Refused => stage.doubt(sequence),
            _ => {}
        }
    }

    async fn visit_own(&mut self, stage: &Stage, client: &Client) {
        let Some(own) = &self.own else { return skip().await };
        let request = client.get(format!("{}/{}", stage.base, own.code));
        let _ =
            stage.exchange(Kind::VisitOwn as usize, request, |answer| check_visit(&own.url, answer)).await;
    }

    async fn visit_hot(&mut self, stage: &Stage, client: &Client) {
        let Some(popularity) = &stage.journeys.popularity else { return skip().await };
        let rank = popularity.zipf().sample(&mut self.hot) as usize;
        let link = popularity.hottest_first()[rank] as usize;
        let links = &stage.journeys.links;
        let request = client.get(format!("{}/{}", stage.base, links.code(link)));
        let check = |answer: &Answer<'_>| check_visit(links.url(link), answer);
        let _ = stage.exchange(Kind::VisitHot as usize, request, check).await;
    }

    async fn visit_unknown(&mut self, stage: &Stage, client: &Client) {
        let code = unknown_code(&mut self.unknown);
        let code = std::str::from_utf8(&code).expect("codes are letters and digits");
        let request = client.get(format!("{}/{code}", stage.base));
        let check = |answer: &Answer<'_>| expect_status(StatusCode::NOT_FOUND, answer);
        let _ = stage.exchange(Kind::VisitUnknown as usize, request, check).await;
    }

    /// Deletes the user's own link, and sees that it is gone.
    async fn delete_own(&mut self, stage: &Stage, client: &Client) {
        let Some(own) = self.own.take() else { return skip().await };
        let request = client.delete(format!("{}/api/links/{}", stage.base, own.code));
        let check = |answer: &Answer<'_>| match answer.status.is_success() {
            true => Judgement::Right,
            false => Judgement::Wrong(format!("status {} instead of 2xx", answer.status)),
        };
        match stage.exchange(Kind::DeleteOwn as usize, request, check).await {
            Ok((Judgement::Right, _)) => stage.forget(&own),
            Ok((_, status)) if !status.is_server_error() => return,
            _ => {
                stage.forget(&own);
                return stage.doubt(own.sequence);
            }
        }
        if stage.may_send() {
            let request = client.get(format!("{}/{}", stage.base, own.code));
            let check = |answer: &Answer<'_>| expect_status(StatusCode::NOT_FOUND, answer);
            let _ = stage.exchange(Kind::VisitDeleted as usize, request, check).await;
        }
    }
}

/// A step that has nothing to act on, as after a failed create. It pauses, lest a journey of such steps never yields.
async fn skip() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// A code of the user's choice: no generated code holds a `-`, and no two sequence numbers of a seed share one.
fn custom_code(seed: u64, sequence: u64) -> String {
    format!("my-{:08x}-{sequence}", mix(seed) as u32)
}
