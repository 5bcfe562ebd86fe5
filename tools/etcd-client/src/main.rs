//! Runs the recipes of the etcd-client crate against a server, and ends with an error at the first answer that is wrong.
//!
//! `etcd-client-recipes URL [CA CERTIFICATE KEY]`. It uses keys below `recipes/` only, and removes them first and last.

use std::{env, error::Error, fs, time::Duration};

use etcd_client::{
    Certificate, Client, Compare, CompareOp, ConnectOptions, DeleteOptions, EventType, GetOptions, Identity,
    LeaseGrantOptions, LockOptions, ProclaimOptions, PutOptions, ResignOptions, SortOrder, SortTarget, TlsOptions, Txn,
    TxnOp, TxnOpResponse, WatchOptions,
};

type Outcome = Result<(), Box<dyn Error>>;

const WRITERS: usize = 8;
const STEPS: usize = 25;

#[tokio::main]
async fn main() -> Outcome {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let options = match &arguments[1..] {
        [ca, certificate, key] => {
            let identity = Identity::from_pem(fs::read(certificate)?, fs::read(key)?);
            let tls = TlsOptions::new().ca_certificate(Certificate::from_pem(fs::read(ca)?)).identity(identity);
            Some(ConnectOptions::new().with_tls(tls))
        }
        _ => None,
    };
    let mut client = Client::connect([&arguments[0]], options).await?;
    clean(&mut client).await?;
    keys(&mut client).await?;
    watches(&mut client).await?;
    leases(&mut client).await?;
    transactions(&mut client).await?;
    software_transactions(&client).await?;
    locks(&mut client).await?;
    elections(&mut client).await?;
    maintenance(&mut client).await?;
    clean(&mut client).await
}

fn done(what: &str) -> Outcome {
    println!("{what}: as it should be");
    Ok(())
}

async fn clean(client: &mut Client) -> Outcome {
    client.delete("recipes/", Some(DeleteOptions::new().with_prefix())).await?;
    Ok(())
}

async fn keys(client: &mut Client) -> Outcome {
    for n in 0..5 {
        client.put(format!("recipes/k{n}"), n.to_string(), None).await?;
    }
    let options = GetOptions::new().with_prefix().with_limit(2).with_sort(SortTarget::Key, SortOrder::Descend);
    let page = client.get("recipes/k", Some(options)).await?;
    let found: Vec<_> = page.kvs().iter().map(|kv| kv.key_str()).collect::<Result<_, _>>()?;
    assert_eq!((found, page.count(), page.more()), (vec!["recipes/k4", "recipes/k3"], 5, true));
    let put = client.put("recipes/k1", "new", Some(PutOptions::new().with_prev_key())).await?;
    assert_eq!(put.prev_key().ok_or("no previous value")?.value(), b"1");
    let gone = client.delete("recipes/k1", Some(DeleteOptions::new().with_prev_key())).await?;
    assert_eq!((gone.deleted(), gone.prev_kvs()[0].value()), (1, &b"new"[..]));
    done("keys")
}

async fn watches(client: &mut Client) -> Outcome {
    let options = WatchOptions::new().with_prefix().with_prev_key();
    let mut stream = client.watch("recipes/w", Some(options)).await?;
    let created = stream.message().await?.ok_or("the watch ended")?;
    assert!(created.created() && !created.canceled());
    client.put("recipes/w1", "a", None).await?;
    client.put("recipes/w1", "b", None).await?;
    client.delete("recipes/w1", None).await?;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let answer = stream.message().await?.ok_or("the watch ended")?;
        for event in answer.events() {
            let previous = event.prev_kv().map(|kv| kv.value().to_vec());
            seen.push((event.event_type() == EventType::Delete, previous));
        }
    }
    assert_eq!(seen, [(false, None), (false, Some(b"a".to_vec())), (true, Some(b"b".to_vec()))]);
    stream.request_progress().await?;
    assert!(stream.message().await?.ok_or("the watch ended")?.events().is_empty());
    stream.cancel(created.watch_id()).await?;
    assert!(stream.message().await?.ok_or("the watch ended")?.canceled());
    done("watches")
}

async fn leases(client: &mut Client) -> Outcome {
    let lease = client.lease_grant(60, Some(LeaseGrantOptions::new().with_id(0x7e57))).await?.id();
    client.put("recipes/leased", "x", Some(PutOptions::new().with_lease(lease))).await?;
    let (mut keeper, mut stream) = client.lease_keep_alive(lease).await?;
    keeper.keep_alive().await?;
    assert_eq!(stream.message().await?.ok_or("no answer")?.ttl(), 60);
    let left = client.lease_time_to_live(lease, Some(etcd_client::LeaseTimeToLiveOptions::new().with_keys())).await?;
    assert_eq!((left.granted_ttl(), left.keys()), (60, &[b"recipes/leased".to_vec()][..]));
    assert!(client.leases().await?.leases().iter().any(|status| status.id() == lease));
    client.lease_revoke(lease).await?;
    assert!(client.get("recipes/leased", None).await?.kvs().is_empty());
    done("leases")
}

async fn transactions(client: &mut Client) -> Outcome {
    let nested = Txn::new().and_then([TxnOp::put("recipes/t2", "2", None)]);
    let txn = Txn::new()
        .when([Compare::version("recipes/t1", CompareOp::Equal, 0)])
        .and_then([TxnOp::put("recipes/t1", "1", None), TxnOp::txn(nested), TxnOp::get("recipes/t2", None)])
        .or_else([TxnOp::get("recipes/t1", None)]);
    let answer = client.txn(txn.clone()).await?;
    assert!(answer.succeeded());
    match &answer.op_responses()[2] {
        TxnOpResponse::Get(get) => assert_eq!(get.kvs()[0].value(), b"2"),
        _ => return Err("an answer of the wrong kind".into()),
    }
    let again = client.txn(txn).await?;
    assert!(!again.succeeded() && matches!(&again.op_responses()[..], [TxnOpResponse::Get(_)]));
    done("transactions")
}

/// Moves one from an account to another, again and again, by optimistic transactions over both.
async fn software_transactions(client: &Client) -> Outcome {
    let accounts = ["recipes/from", "recipes/to"];
    let mut kv = client.kv_client();
    kv.put(accounts[0], (WRITERS * STEPS).to_string(), None).await?;
    kv.put(accounts[1], "0", None).await?;
    let mut writers = Vec::new();
    for _ in 0..WRITERS {
        let mut kv = client.kv_client();
        writers.push(tokio::spawn(async move {
            let mut left = STEPS;
            while left > 0 {
                let mut compares = Vec::new();
                let mut writes = Vec::new();
                for (account, change) in accounts.into_iter().zip([-1, 1]) {
                    let found = kv.get(account, None).await.map_err(|error| error.to_string())?;
                    let held = &found.kvs()[0];
                    let value: i64 = held.value_str().unwrap_or("").parse().map_err(|_| "not a number".to_owned())?;
                    compares.push(Compare::mod_revision(account, CompareOp::Equal, held.mod_revision()));
                    writes.push(TxnOp::put(account, (value + change).to_string(), None));
                }
                let txn = Txn::new().when(compares).and_then(writes);
                left -= usize::from(kv.txn(txn).await.map_err(|error| error.to_string())?.succeeded());
            }
            Ok::<_, String>(())
        }));
    }
    for writer in writers {
        writer.await??;
    }
    for (account, expected) in accounts.into_iter().zip([0, WRITERS * STEPS]) {
        assert_eq!(kv.get(account, None).await?.kvs()[0].value_str()?, expected.to_string());
    }
    done("software transactions")
}

async fn locks(client: &mut Client) -> Outcome {
    let first = client.lock("recipes/lock", None).await?;
    let mut other = client.lock_client();
    let second = tokio::spawn(async move { other.lock("recipes/lock", Some(LockOptions::new())).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!second.is_finished(), "two hold one lock");
    client.unlock(first.key()).await?;
    let second = tokio::time::timeout(Duration::from_secs(10), second).await???;
    client.unlock(second.key()).await?;
    done("locks")
}

async fn elections(client: &mut Client) -> Outcome {
    let lease = client.lease_grant(60, None).await?.id();
    let leader = client.campaign("recipes/election", "ann", lease).await?.take_leader().ok_or("no leader")?;
    client.proclaim("ann again", Some(ProclaimOptions::new().with_leader(leader.clone()))).await?;
    let mut observed = client.observe("recipes/election").await?;
    let seen = observed.message().await?.ok_or("nothing observed")?;
    assert_eq!(seen.kv().ok_or("no value")?.value(), b"ann again");
    assert_eq!(client.leader("recipes/election").await?.kv().ok_or("no leader")?.value(), b"ann again");
    client.resign(Some(ResignOptions::new().with_leader(leader))).await?;
    assert!(client.leader("recipes/election").await.is_err(), "a leader that has resigned");
    client.lease_revoke(lease).await?;
    done("elections")
}

async fn maintenance(client: &mut Client) -> Outcome {
    let status = client.status().await?;
    assert!(status.leader() != 0 && status.raft_applied_index() > 0 && !status.version().is_empty());
    let revision = client.get("recipes/", None).await?.header().ok_or("no header")?.revision();
    let (now, then) = (client.hash_kv(0).await?.hash(), client.hash_kv(revision).await?.hash());
    assert_eq!(now, then);
    assert_eq!(client.member_list().await?.members().iter().filter(|member| !member.is_learner()).count() % 2, 1);
    client.defragment().await?;
    let mut snapshot = client.snapshot().await?;
    let mut bytes = 0;
    while let Some(piece) = snapshot.message().await? {
        bytes += piece.blob().len();
        if piece.remaining_bytes() == 0 {
            break;
        }
    }
    assert!(bytes > 0);
    client.compact(revision, None).await?;
    let old = client.get("recipes/k0", Some(GetOptions::new().with_revision(revision - 1))).await;
    assert!(old.unwrap_err().to_string().contains("etcdserver: mvcc: required revision has been compacted"));
    done("maintenance")
}
