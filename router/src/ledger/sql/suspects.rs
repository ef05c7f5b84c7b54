//! Deliveries whose reading a router may not have survived.

use std::collections::HashMap;

use jiff::Timestamp;

use super::SqlLedger;
use super::store::Statement;
use crate::ledger::Error;

impl SqlLedger {
    pub(super) async fn times_suspected(&self, deliveries: &[String]) -> Result<HashMap<String, u64>, Error> {
        let statement = Statement::new(
            "with v as ({rows}) select suspects.delivery, suspects.times from suspects, v \
             where suspects.delivery = v.delivery",
        )
        .texts("delivery", deliveries, String::as_str);
        let mut times = HashMap::new();
        for mut row in self.alone(statement).await? {
            let delivery = row.text("suspects.delivery")?;
            times.insert(delivery, u64::try_from(row.int("suspects.times")?).unwrap_or_default());
        }
        Ok(times)
    }

    pub(super) async fn count_suspects(&self, deliveries: &[String], now: Timestamp) -> Result<(), Error> {
        let mut deliveries = deliveries.to_vec();
        deliveries.sort();
        deliveries.dedup();
        let statement = Statement::new(
            "with v as ({rows}) insert into suspects (delivery, times, began_at) select delivery, 1, began_at from v \
             where true on conflict (delivery) do update set times = suspects.times + 1, \
             began_at = excluded.began_at",
        )
        .texts("delivery", &deliveries, |delivery| delivery.as_str())
        .ints("began_at", &deliveries, |_| now.as_millisecond());
        self.alone(statement).await.map(drop)
    }

    pub(super) async fn clear_suspects(&self, deliveries: &[String]) -> Result<(), Error> {
        let statement = Statement::new(
            "with v as ({rows}) delete from suspects where delivery in (select delivery from v)",
        )
        .texts("delivery", deliveries, String::as_str);
        self.alone(statement).await.map(drop)
    }
}
