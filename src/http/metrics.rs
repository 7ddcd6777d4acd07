//! `/metrics`: what an instance does, for Prometheus. Numbers only: nothing here is secret.
use std::error::Error;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tracing::error;

use crate::archive::{self, Amount};
use crate::chroots::Chroots;
use crate::instance::Instance;
use crate::model::Item as _;
use crate::store::catalog::Catalog;
use crate::store::{jobs, letters};

use super::beside;

type Labels = Vec<(&'static str, String)>;
type Number = Gauge<f64, AtomicU64>;
type Sum = Counter<f64, AtomicU64>;

pub(super) fn router(instance: Arc<Instance>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .with_state(instance)
}

async fn metrics(State(instance): State<Arc<Instance>>) -> Response {
    match beside(move || collect(&instance)).await {
        Some(Ok(text)) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Some(Err(failed)) => {
            error!(error = &*failed as &dyn Error, "can't collect metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

fn collect(instance: &Instance) -> Result<String, Box<dyn Error + Send + Sync>> {
    let mut all = All(Registry::with_prefix("mini_buildd"));
    let builder = &instance.builder;
    all.number(
        "running",
        "1 while uploads are taken and built",
        f64::from(builder.load() >= 0.0),
    );
    all.number(
        "slots",
        "Builds that may run at once",
        count(builder.slots()),
    );
    all.number("builds", "Builds that wait or run", count(builder.builds()));
    let packagings = instance.store.read(jobs::unfinished_packagings)?;
    all.number(
        "packagings",
        "Uploads that are not yet finished",
        count(packagings.len()),
    );
    let (times, wall, cpu) = (Family::default(), Family::default(), Family::default());
    for (phase, spent) in builder.phases() {
        let labels = vec![("phase", phase.clone())];
        add(&times, &labels, exact(spent.times));
        add(&wall, &labels, spent.wall.as_secs_f64());
        add(&cpu, &labels, spent.cpu.as_secs_f64());
    }
    all.sums("phases", "Phases of builds since the start", None, times);
    all.sums(
        "phase_wall",
        "Time that phases took",
        Some(Unit::Seconds),
        wall,
    );
    all.sums(
        "phase_cpu",
        "Processor time that phases took",
        Some(Unit::Seconds),
        cpu,
    );

    let told = Family::default();
    for (kind, number) in instance.events.told() {
        add(&told, &vec![("type", kind.to_string())], exact(number));
    }
    all.sums("events", "Events since the start", None, told);
    all.number(
        "event_clients",
        "Clients that wait for events",
        count(instance.events.attached()),
    );
    let letters = instance.store.read(letters::count)?;
    all.number(
        "letters",
        "Letters that the relay has not taken yet",
        letters.into(),
    );

    let (packages, unpublished, pool) = (Family::default(), Family::default(), Family::default());
    for amount in instance.store.read(archive::amounts)? {
        let Amount { repository, .. } = &amount;
        let labels = vec![("repository", repository.clone())];
        set(&packages, &labels, float(amount.packages));
        set(&unpublished, &labels, float(amount.unpublished));
        set(&pool, &labels, float(amount.pool));
    }
    all.numbers(
        "packages",
        "Packages, those of the past included",
        None,
        packages,
    );
    all.numbers(
        "unpublished_dists",
        "Distributions that wait to be published",
        None,
        unpublished,
    );
    all.numbers("pool", "Size of the pool", Some(Unit::Bytes), pool);

    let (layers, size) = (Family::default(), Family::default());
    let chroots = Chroots::of_caller(instance.home.clone())?;
    let catalog = instance.store.read(Catalog::load)?;
    for chroot in catalog.chroots().filter(|chroot| chroots.exists(chroot)) {
        let found = chroots.backend(chroot).layers()?;
        let bytes: u64 = found.iter().map(|layer| layer.size).sum();
        let labels = vec![("chroot", chroot.name())];
        set(&layers, &labels, count(found.len()));
        set(&size, &labels, exact(bytes));
    }
    all.numbers("layers", "Layers of chroots", None, layers);
    all.numbers(
        "layers",
        "Size of the layers, where it is known",
        Some(Unit::Bytes),
        size,
    );
    if let Some(resident) = resident() {
        all.number("resident_memory_bytes", "Memory of the daemon", resident);
    }
    let mut text = String::new();
    encode(&mut text, &all.0)?;
    Ok(text)
}

struct All(Registry);

impl All {
    fn number(&mut self, name: &str, help: &str, value: f64) {
        let gauge = Number::default();
        gauge.set(value);
        self.0.register(name, help, gauge);
    }

    fn numbers(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        family: Family<Labels, Number>,
    ) {
        match unit {
            Some(unit) => self.0.register_with_unit(name, help, unit, family),
            None => self.0.register(name, help, family),
        }
    }

    fn sums(&mut self, name: &str, help: &str, unit: Option<Unit>, family: Family<Labels, Sum>) {
        match unit {
            Some(unit) => self.0.register_with_unit(name, help, unit, family),
            None => self.0.register(name, help, family),
        }
    }
}

fn set(family: &Family<Labels, Number>, labels: &Labels, value: f64) {
    family.get_or_create(labels).set(value);
}

fn add(family: &Family<Labels, Sum>, labels: &Labels, value: f64) {
    family.get_or_create(labels).inc_by(value);
}

fn count(number: usize) -> f64 {
    exact(u64::try_from(number).unwrap_or(u64::MAX))
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn exact(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn float(number: i64) -> f64 {
    number as f64
}

/// proc_pid_statm(5): the second number, in pages.
fn resident() -> Option<f64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(exact(pages) * count(rustix::param::page_size()))
}
