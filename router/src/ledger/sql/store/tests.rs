//! Connections whose transaction cannot be ended.

use super::{Connection, Statement, Store, Tx};
use crate::ledger::Error;

/// A SQLite file with one table, whose one write connection may take no more pages.
async fn full(folder: &tempfile::TempDir) -> Store {
    let address = format!("sqlite:{}", folder.path().join("ledger.db").display());
    let store = Store::open(&address, 2).await.expect("opened");
    let mut tx = store.begin().await.expect("begun");
    tx.run(Statement::new("create table notes (text text not null)")).await.expect("made");
    // A limit of this connection: one that is opened anew has none, like a disk on which there is room again.
    tx.run(Statement::new("pragma max_page_count = 1")).await.expect("limited");
    tx.commit().await.expect("committed");
    store
}

async fn write(tx: &mut Tx) -> Result<(), Error> {
    let text = "x".repeat(100_000);
    tx.run(Statement::new("insert into notes (text) values ($1)").text(text.as_str())).await.map(drop)
}

#[tokio::test]
async fn a_write_that_found_the_disk_full_leaves_no_broken_transaction_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = full(&folder).await;
    let mut tx = store.begin().await.expect("begun");
    let error = write(&mut tx).await.expect_err("full");
    assert!(format!("{error:?}").contains("full"), "{error:?}");
    drop(tx);
    let mut tx = store.begin().await.expect("begun on another connection");
    write(&mut tx).await.expect("there is room again");
    tx.commit().await.expect("committed");
}

#[tokio::test]
async fn a_transaction_that_was_left_open_on_a_connection_stands_in_nobodys_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let address = format!("sqlite:{}", folder.path().join("ledger.db").display());
    let store = Store::open(&address, 2).await.expect("opened");
    // What a rollback that failed leaves: the connection is back in the pool, in the midst of a transaction.
    let Store::Sqlite { write: pool, .. } = &store else { panic!("SQLite") };
    let mut connection = pool.acquire().await.expect("a connection");
    sqlx::Executor::execute(&mut *connection, "begin immediate").await.expect("begun");
    drop(connection);
    let tx = store.begin().await.expect("begun on another connection");
    assert!(matches!(tx.connection, Connection::Sqlite(_)));
    tx.commit().await.expect("committed");
}

#[tokio::test]
async fn a_reader_whose_statement_failed_is_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let address = format!("sqlite:{}", folder.path().join("ledger.db").display());
    let store = Store::open(&address, 1).await.expect("opened");
    for _ in 0..3 {
        let mut tx = store.snapshot().await.expect("begun");
        tx.run(Statement::new("select nothing from nowhere")).await.expect_err("refused");
    }
    assert!(store.now().await.is_ok());
}
