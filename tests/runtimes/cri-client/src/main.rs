//! Says to a container runtime what kubelet says, as far as a pod's network is concerned.
//!
//! ```text
//! cri-client SOCKET run-pod POD           prints the pod's ID; POD is JSON, see `Pod`
//! cri-client SOCKET pod-ip ID             prints the address that kubelet would report
//! cri-client SOCKET run-container ID POD IMAGE COMMAND...    prints the container's ID
//! cri-client SOCKET exec ID COMMAND...    prints what the command prints, and ends as it ends
//! cri-client SOCKET stop-pod ID
//! cri-client SOCKET remove-pod ID
//! cri-client SOCKET network               prints what keeps the network from being ready, or nothing
//! ```

use std::{collections::HashMap, error::Error, process::ExitCode};

use k8s_cri::v1::{
    ContainerConfig, ContainerMetadata, CreateContainerRequest, ExecSyncRequest, ImageSpec, LinuxPodSandboxConfig,
    PodSandboxConfig, PodSandboxMetadata, PodSandboxStatusRequest, PortMapping, Protocol, RemovePodSandboxRequest,
    RunPodSandboxRequest, StartContainerRequest, StatusRequest, StopPodSandboxRequest,
    runtime_service_client::RuntimeServiceClient,
};
use serde::Deserialize;
use tonic::transport::{Channel, Endpoint};

type Client = RuntimeServiceClient<Channel>;
type Answer = Result<(String, u8), Box<dyn Error>>;

/// What kubelet knows of a pod.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pod {
    name: String,
    cgroup_parent: String,
    #[serde(default)]
    annotations: HashMap<String, String>,
    #[serde(default)]
    ports: Vec<Port>,
}

/// A host port, as a pod's manifest writes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Port {
    host_port: i32,
    container_port: i32,
    #[serde(default)]
    protocol: String,
    #[serde(default, rename = "hostIP")]
    host_ip: String,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(answer(&words))) {
        Ok((text, status)) => {
            print!("{text}");
            ExitCode::from(status)
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn answer(words: &[&str]) -> Answer {
    let (socket, words) = words.split_first().ok_or("no socket is named")?;
    let channel = Endpoint::from_shared(format!("unix://{socket}"))?.connect().await?;
    let mut client = Client::new(channel);
    match *words {
        ["run-pod", pod] => run_pod(&mut client, pod).await,
        ["pod-ip", id] => pod_ip(&mut client, id).await,
        ["run-container", id, pod, image, ref command @ ..] => {
            run_container(&mut client, id, pod, image, command).await
        }
        ["exec", id, ref command @ ..] => exec(&mut client, id, command).await,
        ["stop-pod", id] => {
            client.stop_pod_sandbox(StopPodSandboxRequest { pod_sandbox_id: id.into() }).await?;
            Ok(Default::default())
        }
        ["remove-pod", id] => {
            client.remove_pod_sandbox(RemovePodSandboxRequest { pod_sandbox_id: id.into() }).await?;
            Ok(Default::default())
        }
        ["network"] => network(&mut client).await,
        _ => Err(format!("not understood: {words:?}").into()),
    }
}

async fn run_pod(client: &mut Client, pod: &str) -> Answer {
    let config = Some(sandbox_config(pod)?);
    let request = RunPodSandboxRequest { config, runtime_handler: String::new() };
    Ok((client.run_pod_sandbox(request).await?.into_inner().pod_sandbox_id, 0))
}

fn sandbox_config(pod: &str) -> Result<PodSandboxConfig, Box<dyn Error>> {
    let pod: Pod = serde_json::from_str(pod)?;
    let uid = format!("uid-of-{}", pod.name);
    let ports: Result<_, _> = pod.ports.iter().map(port_mapping).collect();
    Ok(PodSandboxConfig {
        metadata: Some(PodSandboxMetadata { name: pod.name.clone(), uid, namespace: "default".into(), attempt: 0 }),
        hostname: pod.name,
        annotations: pod.annotations,
        port_mappings: ports?,
        linux: Some(LinuxPodSandboxConfig { cgroup_parent: pod.cgroup_parent, ..Default::default() }),
        ..Default::default()
    })
}

fn port_mapping(port: &Port) -> Result<PortMapping, Box<dyn Error>> {
    let protocol = match port.protocol.as_str() {
        "" => Protocol::Tcp,
        name => Protocol::from_str_name(&name.to_uppercase()).ok_or_else(|| format!("no protocol is called {name}"))?,
    };
    let (container_port, host_port, host_ip) = (port.container_port, port.host_port, port.host_ip.clone());
    Ok(PortMapping { protocol: protocol.into(), container_port, host_port, host_ip })
}

async fn pod_ip(client: &mut Client, id: &str) -> Answer {
    let request = PodSandboxStatusRequest { pod_sandbox_id: id.into(), verbose: false };
    let status = client.pod_sandbox_status(request).await?.into_inner().status;
    Ok((status.and_then(|status| status.network).ok_or("the pod has no network")?.ip, 0))
}

async fn run_container(client: &mut Client, pod_id: &str, pod: &str, image: &str, command: &[&str]) -> Answer {
    let config = ContainerConfig {
        metadata: Some(ContainerMetadata { name: "main".into(), attempt: 0 }),
        image: Some(ImageSpec { image: image.into(), ..Default::default() }),
        command: owned(command),
        ..Default::default()
    };
    let (config, sandbox_config) = (Some(config), Some(sandbox_config(pod)?));
    let request = CreateContainerRequest { pod_sandbox_id: pod_id.into(), config, sandbox_config };
    let container_id = client.create_container(request).await?.into_inner().container_id;
    client.start_container(StartContainerRequest { container_id: container_id.clone() }).await?;
    Ok((container_id, 0))
}

async fn exec(client: &mut Client, id: &str, command: &[&str]) -> Answer {
    let request = ExecSyncRequest { container_id: id.into(), cmd: owned(command), timeout: 10 };
    let answer = client.exec_sync(request).await?.into_inner();
    let text = [answer.stdout, answer.stderr].concat();
    Ok((String::from_utf8_lossy(&text).into_owned(), u8::try_from(answer.exit_code).unwrap_or(u8::MAX)))
}

async fn network(client: &mut Client) -> Answer {
    let status = client.status(StatusRequest { verbose: false }).await?.into_inner().status.unwrap_or_default();
    let condition = status.conditions.into_iter().find(|condition| condition.r#type == "NetworkReady");
    let condition = condition.ok_or("the runtime says nothing of NetworkReady")?;
    let trouble = format!("{}: {}", condition.reason, condition.message);
    Ok((if condition.status { String::new() } else { trouble }, 0))
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.into()).collect()
}
