//! The bus against a real broker, with a link in between that can be held, silenced and cut.

mod proxy;
mod reading;
mod rig;
mod writing;

#[test]
fn what_the_client_logs_of_bodies_and_frames_is_never_written_down() {
    use tracing::Level;
    for (target, level, may) in [
        ("lapin::returned_messages", Level::ERROR, false),
        ("lapin::returned_messages::more", Level::ERROR, false),
        ("lapin::channels", Level::ERROR, false),
        ("lapin", Level::TRACE, false),
        ("lapin::frames", Level::TRACE, false),
        ("amq_protocol::frame", Level::TRACE, false),
        ("lapin::connection", Level::ERROR, true),
        ("router::relay", Level::TRACE, true),
    ] {
        assert_eq!(super::may_be_logged(target, level), may, "{target} {level}");
    }
}
