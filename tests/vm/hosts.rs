//! An overlay's containers on several hosts: guest/hosts.sh makes the others and joins them.

use serde_json::{Value, json};

use crate::{initrd::Initrd, report::Report};

/// The prefix of its functions.
pub(crate) const HOST: &str = "joined";

/// The peer's side of a network with an overlay, and what the peer's container serves: whom it sees.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn fill(initrd: &Initrd, folder: &str, network: &Value) -> Result<(), String> {
    let mut network = network.clone();
    let overlay = &mut network["plugins"][0]["overlay"];
    overlay["underlay"] = json!("192.0.2.2");
    overlay["subnet"] = json!(["10.210.81.0/24", "fd00:210:81::/64"]);
    initrd.text(&format!("{folder}/peer/network.conflist"), &network.to_string())?;
    initrd.text("/www/cgi-bin/seen", "#!/bin/sh\nprintf '\\r\\n%s' \"$REMOTE_ADDR\"\n")?;
    for program in ["ip", "ping"] {
        initrd.program(program, &format!("/usr/local/bin/{program}"))?;
    }
    Ok(())
}

/// Containers reach each other in both families by their own addresses, the largest packets whole; a frame of who is no
/// peer comes to none of them, and it is the guard that keeps it out.
///
/// # Errors
/// What is not so.
pub(crate) fn judge(report: &Report, step: &str) -> Result<(), String> {
    let part = |name: &str| report.stdout(&format!("{step}/{name}"));
    for (family, address) in [(4, "10.210.80.2"), (6, "fd00:210:80::2")] {
        part(&format!("peer/ping/{family}"))?;
        part(&format!("peer/whole/{family}"))?;
        let more = report.section(&format!("{step}/peer/more/{family}"))?;
        expect(more.status != 0 && format!("{more:?}").contains("essage too long"), format!("{more:?}"))?;
        let seen = part(&format!("peer/tcp/{family}"))?;
        expect(seen.contains(&format!("{address}]")), seen)?;
    }
    let status: Value = serde_json::from_str(part("overlay")?).map_err(|e| e.to_string())?;
    expect(status[0]["right"] == true && status[0]["peers"][0]["vtep"] == "192.0.2.2", status.to_string())?;
    part("guard")?;
    let echoes = |when: &str| -> Result<u32, String> {
        part(&format!("echoes/{when}"))?.trim().parse().map_err(|e| format!("echoes/{when}: {e}"))
    };
    let counts = (echoes("before")?, echoes("guarded")?, echoes("unguarded")?);
    expect(
        counts.0 > 0 && (counts.0, counts.0 + 1) == (counts.1, counts.2),
        format!("a stranger's pings: {counts:?}"),
    )?;
    let sync = part("sync")?;
    expect(sync.contains("guarded"), sync)?;
    part("peer/del").map(drop)
}

fn expect(holds: bool, what: impl Into<String>) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.into()) }
}
