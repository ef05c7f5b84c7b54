//! Schedules are on the database's time: a jump of the host's wall clock neither fires nor loses a retry.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use connectors::simulator::{Fault, Kind, Switch};
use tempfile::TempDir;

use crate::council::{Council, Crm, request, submitted};
use crate::journeys::settled;
use crate::services::{amqp_url, fresh_postgres};
use crate::wait::until;

/// Stands between the program and the C library, and adds to the wall clock what a file says, in seconds.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long jump(void) {
    char text[32] = {0};
    const char *path = getenv("WALL_CLOCK_JUMP");
    int file = path ? open(path, O_RDONLY) : -1;
    if (file < 0) return 0;
    if (read(file, text, sizeof text - 1) < 0) text[0] = 0;
    close(file);
    return atol(text);
}

int clock_gettime(clockid_t id, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, now);
    if (id == CLOCK_REALTIME) now->tv_sec += jump();
    return result;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec precise;
    (void)zone;
    int result = clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return result;
}

time_t time(time_t *now) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (now) *now = precise.tv_sec;
    return precise.tv_sec;
}
"#;

/// How long the system asks us to wait.
const ASKED: Duration = Duration::from_secs(4);

fn build(folder: &Path) -> String {
    let (source, library) = (folder.join("shim.c"), folder.join("shim.so"));
    std::fs::write(&source, SHIM).expect("the shim is written");
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl").status();
    assert!(built.is_ok_and(|status| status.success()), "cc builds the shim");
    library.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_of_the_wall_clock_by_an_hour_neither_fires_nor_loses_a_retry() {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("jump");
    let jump = |seconds: i64| std::fs::write(&file, seconds.to_string()).expect("the jump is written");
    let ledger = fresh_postgres().await;
    let mut council = Council::new(&ledger, &amqp_url(), Crm::Simulated, 11).await;
    council.set_variable("LD_PRELOAD", &build(folder.path()));
    council.set_variable("WALL_CLOCK_JUMP", &file.display().to_string());
    jump(0);
    let program = council.start().await;
    let client = council.broker.connect().await;
    let revenues = council.simulator(Kind::Revenues);
    for (number, ticket) in council.open_simulated(2).await.iter().enumerate() {
        let mut faults = revenues.faults().with(Fault::Error503, Switch::Next(1));
        faults.set("retry_after", &ASKED.as_secs().to_string()).expect("a switch");
        faults.set("only", "writes").expect("a switch");
        revenues.set_faults(faults);
        let began = Instant::now();
        client.publish(&submitted(&format!("clock-{ticket}"), &request(ticket, 2))).await;
        until("the system has asked us to wait", Duration::from_secs(20), async || {
            (revenues.faults().switch(Fault::Error503) != Switch::Next(1)).then_some(())
        })
        .await;
        jump(if number == 0 { 3600 } else { -3600 });
        until("the order is there", Duration::from_secs(30), async || {
            let jobs = council.told(Kind::Revenues, "jobs").await;
            (jobs.as_array().expect("a list").len() > number).then_some(())
        })
        .await;
        assert!(began.elapsed() >= ASKED, "fired after {:?}, {ASKED:?} were asked", began.elapsed());
        assert!(began.elapsed() < ASKED * 5, "fired after {:?}, {ASKED:?} were asked", began.elapsed());
        settled(&ledger, number as u64 + 1).await;
    }
    // What it says at its end shows that its wall clock did jump.
    jump(3600);
    let ahead = || (router::clock::host_time() + Duration::from_secs(3600)).to_string()[..13].to_owned();
    let before = ahead();
    program.signal("TERM");
    until("the router has stopped", Duration::from_secs(30), async || {
        program.log().contains("stopped").then_some(())
    })
    .await;
    let (log, after) = (program.log(), ahead());
    assert!(log.contains(&before) || log.contains(&after), "no line of {before} or {after} in\n{log}");
}
