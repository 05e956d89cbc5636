//! Which request is answered by what.

use hyper::header::{CACHE_CONTROL, HOST, HeaderMap, HeaderValue, LOCATION, TRANSFER_ENCODING};
use hyper::service::Service;
use hyper::{Method, StatusCode, Version};
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::body::not_allowed;
use super::connection::{Busy, Watch};
use super::problem::Problem;
use super::{Request, Response, Site, closing, links, pages};
use crate::metrics::Timed;
use crate::shortener::{Desk, Followed};

/// One connection's client, as the routes see it.
#[derive(Clone)]
pub struct Client {
    pub site: Arc<Site>,
    /// Of the thread that serves this connection.
    pub desk: Arc<Desk>,
    pub watch: Arc<Watch>,
    /// Of the connection's other end; while a request is answered, of the client that a trusted proxy asks for.
    pub address: IpAddr,
}

/// A redirect out of the cache is answered on the spot; all else takes a future.
pub enum Answer {
    Now(Option<Response>),
    Later(Pin<Box<dyn Future<Output = Response> + Send>>),
}

impl Service<Request> for Client {
    type Response = Response;
    type Error = Infallible;
    type Future = Answer;

    #[inline]
    fn call(&self, mut request: Request) -> Answer {
        self.watch.asked();
        match Head::of(&request) {
            Head::Plain => {}
            Head::Chunked => {
                // By now nobody can tell whether there was a Content-Length, too, by which a proxy in front may see another
                // request behind this one (RFC 9112, 6.1).
                let answer = self.clone().answer(request);
                return Answer::Later(Box::pin(async { closing(answer.await) }));
            }
            Head::NamesNoHost => {
                let problem = Problem::bad_request("HTTP/1.1 asks for one Host header").closing();
                return Answer::Now(Some(self.finish(problem.response())));
            }
        }
        let begun = self.desk.tally.times_next_hit().then(Instant::now);
        match self.answer_at_once(&mut request) {
            Some(response) => {
                if let Some(begun) = begun {
                    self.desk.tally.hit_took(begun.elapsed());
                }
                Answer::Now(Some(response))
            }
            None => Answer::Later(Box::pin(self.clone().answer(request))),
        }
    }
}

impl Future for Answer {
    type Output = Result<Response, Infallible>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Answer::Now(response) => Poll::Ready(Ok(response.take().expect("a future is done once"))),
            Answer::Later(response) => response.as_mut().poll(context).map(Ok),
        }
    }
}

impl Client {
    /// A redirect from the cache: the way nearly all requests go. No page of ours can be in the cache, since their names
    /// are no codes.
    #[inline]
    fn answer_at_once(&self, request: &mut Request) -> Option<Response> {
        let is_get = request.method() == Method::GET;
        if !is_get && request.method() != Method::HEAD {
            return None;
        }
        let code = request.uri().path().strip_prefix('/')?;
        let followed = self.site.shortener.follow_cached(code, &self.desk, is_get)?;
        // hyper takes the headers of an answer for those of the next request: handing the request's own back to it
        // saves an allocation each way.
        let headers = std::mem::take(request.headers_mut());
        Some(self.redirect(followed, headers))
    }

    fn redirect(&self, followed: Followed, mut headers: HeaderMap) -> Response {
        let location = match followed {
            Followed::Found(url) => HeaderValue::from_maybe_shared(url),
            Followed::Gone => return self.finish(Problem::gone().response()),
            Followed::NotFound => return self.finish(Problem::not_found().response()),
        };
        let Ok(location) = location else { return self.finish(Problem::not_found().response()) };
        let mut response = Response::default();
        *response.status_mut() = self.site.redirect_status;
        headers.clear();
        headers.insert(LOCATION, location);
        if let Some(cache_control) = &self.site.redirect_cache_control {
            headers.insert(CACHE_CONTROL, cache_control.clone());
        }
        *response.headers_mut() = headers;
        self.finish(response)
    }

    async fn answer(mut self, request: Request) -> Response {
        let _busy = Busy::new(&self.watch);
        self.address = self.site.proxies.client(self.address, request.headers());
        let answered = self.route(request).await;
        self.finish(answered.unwrap_or_else(|problem| problem.response()))
    }

    async fn route(&self, request: Request) -> Result<Response, Problem> {
        let path = request.uri().path();
        match (path, request.method().as_str()) {
            ("/api/links", "POST") => {
                let _timing = self.timing(Timed::Create);
                links::create(self, request).await
            }
            ("/api/links", _) => Err(not_allowed(request, "POST").await),
            ("/api/links/bulk", "POST") => {
                let _timing = self.timing(Timed::Bulk);
                links::create_many(self, request).await
            }
            ("/api/links/bulk", _) => Err(not_allowed(request, "POST").await),
            ("/api/clicks", "POST") => links::add_clicks(self, request).await,
            ("/api/clicks", _) => Err(not_allowed(request, "POST").await),
            ("/api/cache", "GET" | "HEAD") => Ok(pages::cache(&self.site)),
            // These two are large, and every answer would be as large as the largest.
            ("/api/cache", "DELETE") => Box::pin(pages::clear_cache(self, request)).await,
            ("/api/cache", _) => Err(not_allowed(request, "GET, HEAD, DELETE").await),
            ("/health", "GET" | "HEAD") => Ok(Box::pin(pages::health(&self.site)).await),
            ("/metrics", "GET" | "HEAD") => Ok(pages::metrics(&self.site)),
            ("/openapi.json", "GET" | "HEAD") => Ok(pages::openapi()),
            ("/health" | "/metrics" | "/openapi.json", _) => Err(not_allowed(request, "GET, HEAD").await),
            _ => self.route_code(request).await,
        }
    }

    async fn route_code(&self, request: Request) -> Result<Response, Problem> {
        let path = request.uri().path();
        if let Some(code) = path.strip_prefix("/api/links/").map(str::to_owned) {
            return match request.method().as_str() {
                "GET" | "HEAD" => links::show(self, &code).await,
                "PATCH" => links::change(self, &code, request).await,
                "DELETE" => links::delete(self, &code, &request).await,
                _ => Err(not_allowed(request, "GET, HEAD, PATCH, DELETE").await),
            };
        }
        let code = path.strip_prefix('/').filter(|code| !code.is_empty() && !code.contains('/'));
        let Some(code) = code else {
            return Err(Problem::new(StatusCode::NOT_FOUND, "there is no such page"));
        };
        match request.method().as_str() {
            method @ ("GET" | "HEAD") => {
                let timing = self.timing(Timed::Redirect);
                let followed = self.site.shortener.follow(code, &self.desk, method == "GET").await?;
                drop(timing);
                Ok(self.redirect(followed, HeaderMap::new()))
            }
            _ => Err(not_allowed(request, "GET, HEAD").await),
        }
    }

    /// To be held for as long as an answer takes, or its client waits for it.
    fn timing(&self, what: Timed) -> Timing<'_> {
        Timing { desk: &self.desk, what, begun: Instant::now() }
    }

    #[inline]
    fn finish(&self, response: Response) -> Response {
        if self.site.is_draining() {
            return closing(response);
        }
        response
    }
}

/// What a request's head says of itself.
enum Head {
    Plain,
    /// Its body comes in chunks.
    Chunked,
    /// RFC 9112, 3.2: one `Host`, no more. What it says decides nothing here.
    NamesNoHost,
}

impl Head {
    #[inline]
    fn of(request: &Request) -> Self {
        let (mut hosts, mut is_chunked) = (0, false);
        // Looking at each of the few headers there are takes less than hashing the names.
        for (name, _) in request.headers() {
            hosts += u32::from(*name == HOST);
            is_chunked |= *name == TRANSFER_ENCODING;
        }
        match hosts {
            0 if request.version() == Version::HTTP_11 => Self::NamesNoHost,
            0 | 1 if is_chunked => Self::Chunked,
            0 | 1 => Self::Plain,
            _ => Self::NamesNoHost,
        }
    }
}

/// Notes how long something took when it ends, or is given up: without the latter the longest times would be missing.
struct Timing<'a> {
    desk: &'a Desk,
    what: Timed,
    begun: Instant,
}

impl Drop for Timing<'_> {
    fn drop(&mut self) {
        self.desk.tally.took(self.what, self.begun.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It is moved to the heap for each request but redirects from the cache: what one page needs, all of them pay for.
    #[test]
    fn an_answer_under_way_is_small() {
        fn size_of_answer<F>(_: impl Fn(Client, Request) -> F) -> usize {
            size_of::<F>()
        }
        let size = size_of_answer(Client::answer);
        assert!(size <= 3_072, "{size} bytes");
    }
}
