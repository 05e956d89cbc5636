//! HTTP/2 and secure connections, against hyper's own server.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use proofload::drive::{
    Drive, DriveError, Journeys, Load, Manner, Recording, Source, Target, drive, drive_journeys,
};
use proofload::exchange::{Operation, Templates, Values};
use proofload_scenarios::scenario::{HttpTemplate, Journey, Step};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const CERTIFICATE: &[u8] = include_bytes!("certificates/certificate.pem");
const KEY: &[u8] = include_bytes!("certificates/key.pem");

/// How long `/late` waits when it has read the body.
const LATE: Duration = Duration::from_millis(50);

/// Tells the host that is asked for at `/host`, and else echoes bodies, with status 200 over HTTP/2 and 203 over HTTP/1.1. Ends with the test's process.
fn server(secure: bool, http2: bool) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let addr = listener.local_addr().unwrap();
    let acceptor = secure.then(|| acceptor(http2));
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(stream, http2).await,
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                serve(stream, http2).await;
                            }
                        }
                    }
                });
            }
        });
    });
    addr
}

fn acceptor(http2: bool) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    TlsAcceptor::from(Arc::new(config))
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, http2: bool) {
    let io = TokioIo::new(stream);
    // A generator that hangs up in the middle is no concern of this server's.
    let _ = if http2 {
        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(io, service_fn(echo))
            .await
    } else {
        hyper::server::conn::http1::Builder::new().serve_connection(io, service_fn(echo)).await
    };
}

async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() == "/host" {
        let host = request.headers().get("host").map(|host| host.to_str().unwrap().to_owned());
        let host = host.or_else(|| request.uri().authority().map(|authority| authority.to_string()));
        return Ok(Response::new(Full::new(Bytes::from(host.unwrap_or_default()))));
    }
    let is_late = request.uri().path() == "/late";
    let status = if request.version() == Version::HTTP_2 { 200 } else { 203 };
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    if is_late {
        tokio::time::sleep(LATE).await;
    }
    Ok(Response::builder().status(status).body(Full::new(body)).unwrap())
}

fn post(url: &str, manner: &Manner, status: u16) -> Result<Recording, DriveError> {
    let (target, path) = Target::of_url(url, manner).unwrap();
    let template = HttpTemplate {
        method: "POST".to_owned(),
        path,
        headers: [("x-row".to_owned(), "{row}".to_owned())].into(),
        body: "{random}".to_owned(),
        status: Some(status),
        ..HttpTemplate::default()
    };
    let exchange = Templates::new(&target.host, &[template], Values::built_in(1)).unwrap();
    let operations: Source<Operation> =
        Arc::new(|| Box::new((0..).map(|row| Operation::Http { template: 0, row })));
    let load = Load::Closed { connections: 3, think: Duration::ZERO };
    let spec = Drive::new(target, load, Duration::from_millis(200));
    drive(&spec, Arc::new(exchange), operations, &mut |_| ())
}

fn trusting(http2: bool) -> Manner {
    Manner { http2, roots: Some(CERTIFICATE.to_vec()), insecure: false }
}

#[test]
fn both_versions_are_spoken_plain_and_secure() {
    for (secure, http2) in [(false, false), (false, true), (true, false), (true, true)] {
        let addr = server(secure, http2);
        let scheme = if secure { "https" } else { "http" };
        let status = if http2 { 200 } else { 203 };
        let recording = post(&format!("{scheme}://{addr}/echo?x=1"), &trusting(http2), status).unwrap();
        assert!(recording.total("client.ok") > 0, "{scheme}, HTTP/2 {http2}: {:?}", recording.samples);
        assert_eq!(recording.total("client.wrong") + recording.total("client.error"), 0);
        assert!(recording.samples.is_empty(), "{:?}", recording.samples);
    }
}

/// A server that makes room for a long body has not answered yet.
#[test]
fn the_first_byte_is_the_answers() {
    for http2 in [false, true] {
        let (target, path) =
            Target::of_url(&format!("http://{}/late", server(false, http2)), &trusting(http2)).unwrap();
        let template = HttpTemplate {
            method: "POST".to_owned(),
            path,
            body: "x".repeat(40_000),
            ..HttpTemplate::default()
        };
        let exchange = Templates::new(&target.host, &[template], Values::built_in(1)).unwrap();
        let some: Source<Operation> =
            Arc::new(|| Box::new((0..5).map(|row| Operation::Http { template: 0, row })));
        let load = Load::Closed { connections: 1, think: Duration::ZERO };
        let spec = Drive::new(target, load, Duration::from_secs(30));
        let recording = drive(&spec, Arc::new(exchange), some, &mut |_| ()).unwrap();
        let soonest = recording.times["first-byte"].quantile_us(0.0).unwrap();
        assert!(soonest >= LATE.as_micros() as f64 * 0.99, "HTTP/2 {http2}: {soonest} us");
    }
}

/// A virtual host is asked for by name, in either version.
#[test]
fn a_host_of_ones_own_is_asked_for() {
    for http2 in [false, true] {
        let addr = server(false, http2);
        let (target, _) = Target::of_url(&format!("http://{addr}"), &trusting(http2)).unwrap();
        let template = |host: &str| HttpTemplate {
            path: "/host".to_owned(),
            headers: [("host".to_owned(), host.to_owned())].into(),
            answer_contains: Some("shop.example".to_owned()),
            ..HttpTemplate::default()
        };
        let right = |host: &str| {
            let exchange = Templates::new(&target.host, &[template(host)], Values::built_in(1)).unwrap();
            let one: Source<Operation> =
                Arc::new(|| Box::new((0..1).map(|row| Operation::Http { template: 0, row })));
            let load = Load::Closed { connections: 1, think: Duration::ZERO };
            let spec = Drive::new(target.clone(), load, Duration::from_secs(10));
            drive(&spec, Arc::new(exchange), one, &mut |_| ()).unwrap().total("client.ok")
        };
        assert_eq!((right("shop.example"), right("other.example")), (1, 0), "HTTP/2 {http2}");
    }
}

/// Goose's client trusts whom our own does, and nobody else.
#[test]
fn journeys_are_made_over_secure_connections_too() {
    let addr = server(true, false);
    let walk = |manner: &Manner| {
        let (target, _) = Target::of_url(&format!("https://{addr}"), manner).unwrap();
        let step = HttpTemplate { status: Some(203), ..HttpTemplate::default() };
        let journeys = Journeys {
            journeys: vec![Journey {
                name: "walker".to_owned(),
                weight: 1,
                think_time_ms: 1,
                steps: vec![Step::Http(step.clone())],
            }],
            templates: Arc::new(Templates::new(&target.host, &[step], Values::built_in(1)).unwrap()),
            links: Arc::default(),
            popularity: None,
            seed: 1,
            first_sequence: 0,
        };
        let load = Load::Closed { connections: 2, think: Duration::ZERO };
        drive_journeys(&Drive::new(target, load, Duration::from_millis(200)), &journeys, &mut |_| ())
    };
    let recording = walk(&trusting(false)).unwrap();
    assert!(recording.total("client.ok") > 0, "{:?}", recording.samples);
    let error = walk(&Manner::default()).unwrap_err().to_string();
    assert!(error.contains("no secure connection") && error.contains("certificate"), "{error}");
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused_and_named() {
    let addr = server(true, false);
    let url = format!("https://{addr}/");
    let error = post(&url, &Manner::default(), 203).unwrap_err().to_string();
    assert!(error.contains("no secure connection") && error.contains("certificate"), "{error}");
    let insecure = Manner { insecure: true, ..Manner::default() };
    assert!(post(&url, &insecure, 203).unwrap().total("client.ok") > 0);
}

#[test]
fn a_target_without_the_asked_version_is_named() {
    let addr = server(true, false);
    let error = post(&format!("https://{addr}/"), &trusting(true), 200).unwrap_err().to_string();
    assert!(error.contains("no secure connection"), "{error}");
}

#[test]
fn a_plain_server_is_no_secure_target() {
    let addr = server(false, false);
    let error = post(&format!("https://{addr}/"), &trusting(false), 203).unwrap_err().to_string();
    assert!(error.contains("no secure connection"), "{error}");
}
