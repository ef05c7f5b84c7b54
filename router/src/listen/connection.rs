//! One connection, from its first byte to its end.

use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::Allowance;
use super::crowd::Place;
use super::hosts::Hosts;
use crate::api::Problem;

/// The most bytes of the head of a request.
const LARGEST_HEAD: usize = 64 * 1024;

/// What every connection of a listener is served by.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) router: Router,
    pub(super) hosts: Hosts,
    pub(super) allowance: Allowance,
}

/// Serves a connection until it ends, is asked to go, or the router stops.
pub(super) async fn serve(
    stream: TcpStream,
    place: Place,
    service: Arc<Service>,
    shutdown: CancellationToken,
) {
    let own = stream.local_addr().map_or(IpAddr::from([127, 0, 0, 1]), |address| address.ip());
    // Without it the other end has gone already.
    let peer = stream.peer_addr().ok();
    // An error only says that the other end has gone.
    let _unset = stream.set_nodelay(true);
    let look = service.allowance.look();
    let answer = service_fn(|mut request: Request<Incoming>| {
        if let Some(peer) = peer {
            // Who calls is told where somebody is not let in.
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        answer(request, own, &place, &service)
    });
    // Its own time-out for heads would be one for connections that are kept alive, too: each phase is timed by its place.
    let connection = http1::Builder::new()
        .max_buf_size(LARGEST_HEAD)
        .serve_connection(TokioIo::new(Stream { stream, place: Occupied(place.clone()) }), answer);
    let mut connection = pin!(connection);
    let mut stopping = None;
    loop {
        tokio::select! {
            // An error is the caller's: what it sent is no HTTP, or it has gone.
            _ended = connection.as_mut() => break,
            () = place.leave.cancelled() => break,
            () = shutdown.cancelled(), if stopping.is_none() => {
                stopping = Some(Instant::now());
                connection.as_mut().graceful_shutdown();
            }
            () = sleep(look) => {}
        }
        if place.look(stopping) {
            break;
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    own: IpAddr,
    place: &Place,
    service: &Service,
) -> Result<Response, std::convert::Infallible> {
    let counts = !request.uri().path().starts_with("/health/");
    let has_body = !request.body().is_end_stream();
    let is_let_in = place.begin(has_body, counts);
    let admitted = service.hosts.admit(request.uri(), request.headers(), own);
    let response = match admitted {
        Err(problem) => problem.into_response(),
        Ok(()) if !is_let_in => busy().into_response(),
        Ok(()) => {
            let body = |body| {
                if has_body { Body::new(Coming::new(body, place, &service.allowance)) } else { Body::empty() }
            };
            service.router.clone().oneshot(request.map(body)).await.into_response()
        }
    };
    place.answers();
    Ok(response)
}

fn busy() -> Problem {
    let detail = "as many requests as may be are being answered; nothing was taken. Hint: send it again as Retry-After says";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Busy", detail)
}

/// A socket that tells its place what passes through it, and leaves it once it is closed.
struct Stream {
    stream: TcpStream,
    // After the socket: fields are dropped in this order, so a place is free only when its descriptor is.
    place: Occupied,
}

/// A place that is left when its connection ends, however it ends.
struct Occupied(Place);

impl Drop for Occupied {
    fn drop(&mut self) {
        self.0.leaves();
    }
}

impl Stream {
    fn told(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(written, Poll::Ready(Ok(count)) if count > 0) {
            self.place.0.wrote();
        }
        written
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.place.0.heard();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.told(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.told(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        // It is only asked to when all that was there has been written.
        self.place.0.wrote_all();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A body that did not come in its time.
#[derive(Debug, thiserror::Error)]
#[error("the body was not there in time: expected all of it within {whole:?}, and no pause of {pause:?}")]
pub(crate) struct TooSlow {
    whole: Duration,
    pause: Duration,
}

/// A body that is coming: it has a time for the whole and one for each pause.
struct Coming {
    body: Incoming,
    place: Place,
    whole: (Duration, Pin<Box<Sleep>>),
    pause: (Duration, Pin<Box<Sleep>>),
}

impl Coming {
    fn new(body: Incoming, place: &Place, allowance: &Allowance) -> Self {
        let timer = |time: Duration| (time, Box::pin(sleep(time)));
        Self { body, place: place.clone(), whole: timer(allowance.body), pause: timer(allowance.idle) }
    }
}

impl HttpBody for Coming {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            let (pause, timer) = &mut self.pause;
            timer.set(sleep(*pause));
            if frame.is_none() || self.body.is_end_stream() {
                self.place.has_body();
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let is_over =
            self.whole.1.as_mut().poll(context).is_ready() || self.pause.1.as_mut().poll(context).is_ready();
        if is_over {
            return Poll::Ready(Some(Err(TooSlow { whole: self.whole.0, pause: self.pause.0 }.into())));
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.place.has_body();
    }
}
