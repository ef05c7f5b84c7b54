-- The ledger. Portable columns only: text, and integer for times (milliseconds since 1970), numbers and yes/no.
-- Keys start with the council, since several councils may share one ledger. '' stands for a council not known.

-- Every delivery that was accepted, so that a second one is recognised; `about` tells it from another one under its id.
create table inbox (
    council text not null,
    source text not null,
    id text not null,
    request text,
    duplicate integer not null,
    about text not null,
    received_at integer not null,
    seen integer not null,
    sent text,
    sent_with text,
    primary key (council, source, id)
) strict, without rowid;

-- Deliveries that could not be understood or routed: by which name people call them, what those of one cause have in
-- common, how the body can be read again, and how a person is rid of them.
create table refusals (
    council text not null,
    source text not null,
    id text not null,
    ticket text,
    path text,
    reason text not null,
    body text not null,
    received_at integer not null,
    traceparent text,
    sent_with text,
    name text not null,
    cause text not null,
    revision text,
    kept_as text not null,
    settled_at integer,
    settled text,
    primary key (council, source, id)
) strict;
create index refusals_open on refusals (received_at, name) where settled_at is null;
create index refusals_by_name on refusals (name);
create index refusals_by_key on refusals (source, id);
create index refusals_of_ticket on refusals (ticket) where ticket is not null and settled_at is null;

-- Append-only: who dismissed a problem, or had it tried again, and why.
create table problem_changes (
    name text not null,
    at integer not null,
    change text not null,
    person text not null,
    reason text not null,
    primary key (name, at, change)
) strict, without rowid;

-- One row an opening of a ticket.
create table requests (
    council text not null,
    id text not null,
    ticket text not null,
    opening integer not null,
    service text not null,
    channel text,
    priority text not null,
    state text not null,
    raised_at integer not null,
    accepted_at integer not null,
    closed_at integer,
    closes_at integer,
    disposition text,
    reason text,
    say text,
    needs text,
    traceparent text,
    withdrawn integer not null default 0,
    clock_at integer,
    target_at integer,
    clock_rule text not null default '',
    feedback integer not null default 0,
    folded integer not null default 0,
    primary key (council, id)
) strict;
create unique index requests_by_ticket on requests (ticket, council, opening);
create unique index requests_one_open on requests (council, ticket) where state <> 'closed';
create index requests_unclosed on requests (state, id) where state <> 'closed';
create index requests_clock on requests (clock_at) where clock_at is not null;
create index requests_newest on requests (id);
create index requests_unfolded on requests (closed_at) where state = 'closed' and folded = 0;
create index requests_closing on requests (closes_at) where closes_at is not null;

-- What was asked for, apart from the rows that change.
create table documents (
    council text not null,
    request text not null,
    document text not null,
    primary key (council, request)
) strict;

-- Request documents as they stood before a person put them right, or the customer changed them.
create table earlier_documents (
    council text not null,
    request text not null,
    version integer not null,
    document text not null,
    until_at integer not null,
    person text not null,
    primary key (council, request, version)
) strict, without rowid;

-- One row a piece of work of a request for a system; the closure in the CRM is one, too.
create table handovers (
    council text not null,
    request text not null,
    id text not null,
    ticket text not null,
    service text not null,
    system text not null,
    closure integer not null,
    state text not null,
    call text not null,
    job text,
    former_job text,
    progress text,
    disposition text,
    reason text,
    class text,
    say text,
    said text,
    said_at integer,
    latest_at integer,
    doubt text,
    ended_at integer,
    asked_at integer not null,
    operation text,
    payload text,
    carried text,
    waiting integer not null default 0,
    primary key (council, request, id)
) strict;
create index handovers_by_job on handovers (system, job) where job is not null;
create index handovers_by_former_job on handovers (system, former_job) where former_job is not null;
create index handovers_by_ticket on handovers (system, ticket);
create index handovers_parked on handovers (council, request) where state = 'parked';
create index handovers_to_ask on handovers (system, asked_at) where state = 'awaiting';

-- The small hot table of calls that are due or under way; a row is held while it has a worker.
create table due (
    council text not null,
    id text not null,
    handover text not null,
    request text not null,
    system text not null,
    operation text not null,
    phase text not null,
    due_at integer not null,
    lease integer not null,
    worker text,
    attempts integer not null,
    spent integer not null,
    begun integer not null,
    rescued integer not null,
    unsure integer not null default 0,
    payload text,
    document text,
    primary key (council, id)
) strict, without rowid;
create index due_free on due (system, due_at) where worker is null;
create index due_held on due (worker) where worker is not null;

-- Calls of a handover that wait for the one before, so that a system hears of a ticket in order.
create table waiting_calls (
    council text not null,
    request text not null,
    handover text not null,
    number integer not null,
    call text not null,
    operation text not null,
    payload text not null,
    primary key (council, request, handover, number)
) strict, without rowid;

-- Revisions of tickets whose request is still on its way; kept for a while, then refused.
create table early_changes (
    council text not null,
    source text not null,
    id text not null,
    place text not null,
    ticket text not null,
    revision text not null,
    data text not null,
    received_at integer not null,
    traceparent text,
    sent_with text,
    primary key (council, source, id)
) strict;
create index early_changes_by_ticket on early_changes (ticket, council);
create index early_changes_by_time on early_changes (received_at);

-- Append-only: every try at a call.
create table attempts (
    council text not null,
    request text not null,
    call text not null,
    number integer not null,
    handover text not null,
    operation text not null,
    phase text not null,
    started_at integer not null,
    ended_at integer not null,
    outcome text not null,
    status integer,
    reason text,
    sent text,
    answer text,
    primary key (council, request, call, number)
) strict;

-- Append-only: what happened.
create table events (
    council text not null,
    request text not null,
    at integer not null,
    id text not null,
    kind text not null,
    ticket text,
    data text not null,
    traceparent text,
    primary key (council, request, at, id)
) strict;

-- Events that are not yet on the bus.
create table outbox (
    id text not null,
    council text not null,
    request text not null,
    at integer not null,
    worker text,
    primary key (id)
) strict, without rowid;
create index outbox_free on outbox (at, id) where worker is null;
create index outbox_held on outbox (worker) where worker is not null;

-- What systems said of their jobs.
create table completions (
    system text not null,
    key text not null,
    job text,
    reference text,
    said text not null,
    note text,
    said_at integer,
    received_at integer not null,
    way text not null,
    state text not null,
    council text,
    request text,
    dismissed_at integer,
    primary key (system, key)
) strict;
create index completions_of_request on completions (council, request) where request is not null;
create index completions_waiting_job on completions (system, job) where state = 'waiting' and job is not null;
create index completions_waiting_reference on completions (system, reference) where state = 'waiting';
create index completions_held on completions (received_at) where state = 'held' and dismissed_at is null;

-- Jobs and references of systems that belong to a piece of work because a person said so.
create table links (
    system text not null,
    kind text not null,
    word text not null,
    council text not null,
    request text not null,
    handover text not null,
    ticket text not null,
    linked_at integer not null,
    person text not null,
    primary key (system, kind, word)
) strict, without rowid;
create index links_by_ticket on links (system, ticket);

-- How far each system has been polled, from its first turn on, and when its last turn was.
create table polls (
    system text not null,
    position integer not null,
    turn_at integer not null,
    succeeded integer not null default 0,
    primary key (system)
) strict, without rowid;

-- What is asked of systems again and again and failed the last time: since when, how often, and why.
create table failures (
    system text not null,
    activity text not null,
    since integer not null,
    last_at integer not null,
    times integer not null,
    reason text not null,
    lasting integer not null,
    primary key (system, activity)
) strict, without rowid;

-- When each system is asked about its open jobs next, who does it now, and what the last time came to.
create table reconciliations (
    system text not null,
    due_at integer not null,
    why text,
    worker text,
    held_until integer,
    ended_at integer,
    report text,
    primary key (system)
) strict, without rowid;

-- Routers that live, among whom each keeps to its shares of what the systems can bear, and the machine that each runs on.
create table workers (
    id text not null,
    seen_at integer not null,
    agreed integer,
    lagging text,
    home text,
    primary key (id)
) strict, without rowid;

-- Whether the database takes writes, as each router tries: a row a router, written again and again.
create table probes (
    id text not null,
    seen_at integer not null,
    filling text,
    primary key (id)
) strict, without rowid;

-- Systems that were ever paused by a person or left alone because they did not answer.
create table systems (
    system text not null,
    paused_at integer,
    paused_by text,
    pause_reason text,
    failing_since integer,
    openings integer not null,
    probe_at integer,
    failure text,
    prober text,
    probe_until integer,
    primary key (system)
) strict, without rowid;

-- Append-only: who changed how a system stands, and why.
create table system_changes (
    system text not null,
    at integer not null,
    change text not null,
    person text,
    reason text,
    primary key (system, at, change)
) strict, without rowid;
create index system_changes_by_time on system_changes (at);

-- What reports are made of: counts and times of the requests that came in on a day and have closed, as JSON.
create table figures (
    day text not null,
    council text not null,
    grouped text not null,
    key text not null,
    figures text not null,
    primary key (day, council, grouped, key)
) strict, without rowid;

-- Deliveries that came back to routers, by digest: how often a router began to read each and did not end.
create table suspects (
    delivery text not null,
    times integer not null,
    began_at integer not null,
    primary key (delivery)
) strict, without rowid;
