//! The node agent ends, well or badly, while its pods are asked.

use std::time::Instant;

use anyhow::Result;

use ambit_tests::cluster::{Agent, Node, Report, SYSTEM, kubectl};
use ambit_tests::until;

use crate::{mesh, traffic::Loaded};

/// Of the node's own network only: processes of all nodes are seen here.
const KILL: &str = "for process in /proc/[0-9]*; do \
    [ \"$(cat $process/comm)\" = ztunnel ] && [ $process/ns/net -ef /proc/self/ns/net ] && kill -9 ${process#/proc/}; \
    done; true";

#[test]
fn an_agent_replaced_disturbs_no_longer_than_its_restart() -> Result<()> {
    let traffic = Loaded::prepare("agent-replaced")?;
    let reports = traffic.during(|| {
        for node in Node::ALL {
            let begin = Instant::now();
            Agent::on(node)?.pod().delete()?;
            until("the next agent", ambit_tests::cluster::PATIENCE, || Agent::on(node).ok())?.wait_ready()?;
            println!("{}: the next agent is ready after {:?}", node.name(), begin.elapsed());
        }
        Ok(())
    })?;
    assert!(reports.iter().all(|report| report.answered() > 0));
    afterwards(&traffic)
}

#[test]
fn a_killed_agent_disturbs_no_longer_than_its_restart() -> Result<()> {
    mesh::installed()?;
    // The kubelet starts a container that died for the first time at once, and any other after a pause.
    kubectl(&["--namespace", SYSTEM, "rollout", "restart", "daemonset/ztunnel"])?;
    mesh::wait_ready()?;
    let traffic = Loaded::prepare("agent-killed")?;
    let reports = traffic.during(|| {
        for node in Node::ALL {
            let agent = Agent::on(node)?;
            let before = agent.pod().incarnation()?;
            let begin = Instant::now();
            node.exec(KILL)?;
            until("the next life of the agent", ambit_tests::cluster::PATIENCE, || {
                agent.pod().incarnation().is_ok_and(|now| now != before).then_some(())
            })?;
            agent.wait_ready()?;
            println!("{}: the next agent is ready after {:?}", node.name(), begin.elapsed());
        }
        Ok(())
    })?;
    assert!(reports.iter().all(|report| report.answered() > 0));
    afterwards(&traffic)
}

#[test]
fn a_rollout_of_the_agents_leaves_all_pods_enrolled() -> Result<()> {
    let traffic = Loaded::prepare("agents-rolled")?;
    let reports = traffic.during(|| {
        kubectl(&["--namespace", SYSTEM, "rollout", "restart", "daemonset/ztunnel"])?;
        mesh::wait_ready()
    })?;
    assert!(reports.iter().all(|report| report.answered() > 0));
    for pod in traffic.shop.pods("app")? {
        assert!(pod.is_enrolled()?, "{}", pod.name());
    }
    afterwards(&traffic)
}

/// Once the agents are back nothing fails.
fn afterwards(traffic: &Loaded) -> Result<()> {
    let reports = traffic.during(|| {
        for _ in 0..10 {
            traffic.clients[0].ask(crate::traffic::URL)?;
        }
        Ok(())
    })?;
    reports.iter().try_for_each(Report::all_answered)
}
