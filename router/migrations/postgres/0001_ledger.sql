-- The ledger. Portable columns only: text, and bigint for times (milliseconds since 1970), numbers and yes/no.
-- Keys start with the council, since several councils may share one ledger. '' stands for a council not known.

-- Every delivery that was accepted, so that a second one is recognised; `about` tells it from another one under its id.
create table inbox (
    council text collate "C" not null,
    source text collate "C" not null,
    id text collate "C" not null,
    request text collate "C",
    duplicate bigint not null,
    about text not null,
    received_at bigint not null,
    seen bigint not null,
    sent text,
    sent_with text,
    primary key (council, source, id)
);

-- Deliveries that could not be understood or routed: by which name people call them, what those of one cause have in
-- common, how the body can be read again, and how a person is rid of them.
create table refusals (
    council text collate "C" not null,
    source text collate "C" not null,
    id text collate "C" not null,
    ticket text collate "C",
    path text,
    reason text not null,
    body text not null,
    received_at bigint not null,
    traceparent text,
    sent_with text,
    name text collate "C" not null,
    cause text collate "C" not null,
    revision text,
    kept_as text not null,
    settled_at bigint,
    settled text,
    primary key (council, source, id)
);
create index refusals_open on refusals (received_at, name) where settled_at is null;
create index refusals_by_name on refusals (name);
create index refusals_by_key on refusals (source, id);
create index refusals_of_ticket on refusals (ticket) where ticket is not null and settled_at is null;

-- Append-only: who dismissed a problem, or had it tried again, and why.
create table problem_changes (
    name text collate "C" not null,
    at bigint not null,
    change text not null,
    person text not null,
    reason text not null,
    primary key (name, at, change)
);

-- One row an opening of a ticket.
create table requests (
    council text collate "C" not null,
    id text collate "C" not null,
    ticket text collate "C" not null,
    opening bigint not null,
    service text not null,
    channel text,
    priority text not null,
    state text collate "C" not null,
    raised_at bigint not null,
    accepted_at bigint not null,
    closed_at bigint,
    closes_at bigint,
    disposition text,
    reason text,
    say text,
    needs text,
    traceparent text,
    withdrawn bigint not null default 0,
    clock_at bigint,
    target_at bigint,
    clock_rule text not null default '',
    feedback bigint not null default 0,
    folded bigint not null default 0,
    primary key (council, id)
) with (fillfactor = 90);
create unique index requests_by_ticket on requests (ticket, council, opening);
create unique index requests_one_open on requests (council, ticket) where state <> 'closed';
create index requests_unclosed on requests (state, id) where state <> 'closed';
create index requests_clock on requests (clock_at) where clock_at is not null;
create index requests_newest on requests (id);
create index requests_unfolded on requests (closed_at) where state = 'closed' and folded = 0;
create index requests_closing on requests (closes_at) where closes_at is not null;

-- What was asked for, apart from the rows that change.
create table documents (
    council text collate "C" not null,
    request text collate "C" not null,
    document text not null,
    primary key (council, request)
);

-- Request documents as they stood before a person put them right, or the customer changed them.
create table earlier_documents (
    council text collate "C" not null,
    request text collate "C" not null,
    version bigint not null,
    document text not null,
    until_at bigint not null,
    person text not null,
    primary key (council, request, version)
);

-- One row a piece of work of a request for a system; the closure in the CRM is one, too.
create table handovers (
    council text collate "C" not null,
    request text collate "C" not null,
    id text collate "C" not null,
    ticket text collate "C" not null,
    service text not null,
    system text collate "C" not null,
    closure bigint not null,
    state text collate "C" not null,
    call text collate "C" not null,
    job text collate "C",
    former_job text collate "C",
    progress text,
    disposition text,
    reason text,
    class text,
    say text,
    said text,
    said_at bigint,
    latest_at bigint,
    doubt text,
    ended_at bigint,
    asked_at bigint not null,
    operation text,
    payload text,
    carried text,
    waiting bigint not null default 0,
    primary key (council, request, id)
) with (fillfactor = 90);
create index handovers_by_job on handovers (system, job) where job is not null;
create index handovers_by_former_job on handovers (system, former_job) where former_job is not null;
create index handovers_by_ticket on handovers (system, ticket);
create index handovers_parked on handovers (council, request) where state = 'parked';
create index handovers_to_ask on handovers (system, asked_at) where state = 'awaiting';

-- The small hot table of calls that are due or under way; a row is held while it has a worker.
create table due (
    council text collate "C" not null,
    id text collate "C" not null,
    handover text collate "C" not null,
    request text collate "C" not null,
    system text collate "C" not null,
    operation text not null,
    phase text not null,
    due_at bigint not null,
    lease bigint not null,
    worker text collate "C",
    attempts bigint not null,
    spent bigint not null,
    begun bigint not null,
    rescued bigint not null,
    unsure bigint not null default 0,
    payload text,
    document text,
    primary key (council, id)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);
create index due_free on due (system, due_at) where worker is null;
create index due_held on due (worker) where worker is not null;

-- Calls of a handover that wait for the one before, so that a system hears of a ticket in order.
create table waiting_calls (
    council text collate "C" not null,
    request text collate "C" not null,
    handover text collate "C" not null,
    number bigint not null,
    call text collate "C" not null,
    operation text not null,
    payload text not null,
    primary key (council, request, handover, number)
);

-- Revisions of tickets whose request is still on its way; kept for a while, then refused.
create table early_changes (
    council text collate "C" not null,
    source text collate "C" not null,
    id text collate "C" not null,
    place text collate "C" not null,
    ticket text collate "C" not null,
    revision text not null,
    data text not null,
    received_at bigint not null,
    traceparent text,
    sent_with text,
    primary key (council, source, id)
);
create index early_changes_by_ticket on early_changes (ticket, council);
create index early_changes_by_time on early_changes (received_at);

-- Append-only: every try at a call.
create table attempts (
    council text collate "C" not null,
    request text collate "C" not null,
    call text collate "C" not null,
    number bigint not null,
    handover text collate "C" not null,
    operation text not null,
    phase text not null,
    started_at bigint not null,
    ended_at bigint not null,
    outcome text not null,
    status bigint,
    reason text,
    sent text,
    answer text,
    primary key (council, request, call, number)
);

-- Append-only: what happened. Partitions by day can be added beside the default one.
create table events (
    council text collate "C" not null,
    request text collate "C" not null,
    at bigint not null,
    id text collate "C" not null,
    kind text not null,
    ticket text collate "C",
    data text not null,
    traceparent text,
    primary key (council, request, at, id)
) partition by range (at);
create table events_default partition of events default;

-- Events that are not yet on the bus.
create table outbox (
    id text collate "C" not null,
    council text collate "C" not null,
    request text collate "C" not null,
    at bigint not null,
    worker text collate "C",
    primary key (id)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);
create index outbox_free on outbox (at, id) where worker is null;
create index outbox_held on outbox (worker) where worker is not null;

-- What systems said of their jobs.
create table completions (
    system text collate "C" not null,
    key text collate "C" not null,
    job text collate "C",
    reference text collate "C",
    said text not null,
    note text,
    said_at bigint,
    received_at bigint not null,
    way text not null,
    state text collate "C" not null,
    council text collate "C",
    request text collate "C",
    dismissed_at bigint,
    primary key (system, key)
);
create index completions_of_request on completions (council, request) where request is not null;
create index completions_waiting_job on completions (system, job) where state = 'waiting' and job is not null;
create index completions_waiting_reference on completions (system, reference) where state = 'waiting';
create index completions_held on completions (received_at) where state = 'held' and dismissed_at is null;

-- Jobs and references of systems that belong to a piece of work because a person said so.
create table links (
    system text collate "C" not null,
    kind text collate "C" not null,
    word text collate "C" not null,
    council text collate "C" not null,
    request text collate "C" not null,
    handover text collate "C" not null,
    ticket text collate "C" not null,
    linked_at bigint not null,
    person text not null,
    primary key (system, kind, word)
);
create index links_by_ticket on links (system, ticket);

-- How far each system has been polled, from its first turn on, and when its last turn was.
create table polls (
    system text collate "C" not null,
    position bigint not null,
    turn_at bigint not null,
    succeeded bigint not null default 0,
    primary key (system)
);

-- What is asked of systems again and again and failed the last time: since when, how often, and why.
create table failures (
    system text collate "C" not null,
    activity text collate "C" not null,
    since bigint not null,
    last_at bigint not null,
    times bigint not null,
    reason text not null,
    lasting bigint not null,
    primary key (system, activity)
);

-- When each system is asked about its open jobs next, who does it now, and what the last time came to.
create table reconciliations (
    system text collate "C" not null,
    due_at bigint not null,
    why text,
    worker text,
    held_until bigint,
    ended_at bigint,
    report text,
    primary key (system)
);

-- Routers that live, among whom each keeps to its shares of what the systems can bear, and the machine that each runs on.
create table workers (
    id text collate "C" not null,
    seen_at bigint not null,
    agreed bigint,
    lagging text,
    home text,
    primary key (id)
);

-- Whether the database takes writes, as each router tries: a row a router, written again and again.
create table probes (
    id text collate "C" not null,
    seen_at bigint not null,
    filling text,
    primary key (id)
);
-- What is written to see whether there is room must take that room.
alter table probes alter column filling set storage external;

-- Systems that were ever paused by a person or left alone because they did not answer.
create table systems (
    system text collate "C" not null,
    paused_at bigint,
    paused_by text,
    pause_reason text,
    failing_since bigint,
    openings bigint not null,
    probe_at bigint,
    failure text,
    prober text collate "C",
    probe_until bigint,
    primary key (system)
);

-- Append-only: who changed how a system stands, and why.
create table system_changes (
    system text collate "C" not null,
    at bigint not null,
    change text collate "C" not null,
    person text,
    reason text,
    primary key (system, at, change)
);
create index system_changes_by_time on system_changes (at);

-- What reports are made of: counts and times of the requests that came in on a day and have closed, as JSON.
create table figures (
    day text collate "C" not null,
    council text collate "C" not null,
    grouped text collate "C" not null,
    key text collate "C" not null,
    figures text not null,
    primary key (day, council, grouped, key)
);

-- Deliveries that came back to routers, by digest: how often a router began to read each and did not end.
create table suspects (
    delivery text collate "C" not null,
    times bigint not null,
    began_at bigint not null,
    primary key (delivery)
);
