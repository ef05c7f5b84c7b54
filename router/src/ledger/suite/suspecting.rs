//! Deliveries that routers may not survive.

use std::collections::HashMap;

use super::fixture::*;
use super::{Fixture, both};

both! {
    async fn a_delivery_counts_each_time_it_is_read_until_a_router_lives_to_clear_it(fixture: &Fixture) {
        let (other, _) = fixture.another().await;
        let name = |name: &str| name.to_owned();
        let all = [name("a"), name("b"), name("c")];
        assert_eq!(fixture.ledger.suspicions(&all).await.expect("read"), HashMap::new());
        fixture.ledger.suspect(&[name("a"), name("b"), name("a")], at(0)).await.expect("noted");
        other.suspect(&[name("b")], at(1)).await.expect("noted");
        let known = HashMap::from([(name("a"), 1), (name("b"), 2)]);
        assert_eq!(fixture.ledger.suspicions(&all).await.expect("read"), known);
        fixture.ledger.clear(&[name("b"), name("c")]).await.expect("cleared");
        assert_eq!(other.suspicions(&all).await.expect("read"), HashMap::from([(name("a"), 1)]));
        assert_eq!(other.suspicions(&[]).await.expect("read"), HashMap::new());
    }
}
