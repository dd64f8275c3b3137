//! A real nginx with the site that operators use: only addresses, certificates and paths are put in.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tokio::net::{TcpListener, TcpStream};

use super::until;

/// The name that the site is written for.
pub(crate) const NAME: &str = "mcp.example.com";
const SITE: &str = "../packaging/nginx/sf-supervisor.conf";

/// Where it will serve; known before it does, as replicas are told their public address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) https: u16,
    http: u16,
}

impl Ports {
    pub(crate) async fn free() -> Self {
        // Held together, so that they differ.
        let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let second = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            https: first.local_addr().unwrap().port(),
            http: second.local_addr().unwrap().port(),
        }
    }

    pub(crate) fn url(self) -> String {
        format!("https://{NAME}:{}", self.https)
    }
}

/// A request as the access log has it.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) path: String,
    pub(crate) status: u16,
    /// The replicas that were tried, the one that answered last.
    pub(crate) to: Vec<String>,
    pub(crate) id: String,
}

pub(crate) struct Nginx {
    process: Child,
    folder: tempfile::TempDir,
    pub(crate) ports: Ports,
    pub(crate) certificate: String,
}

impl Nginx {
    /// Starts it before replicas with these addresses and waits until it serves.
    pub(crate) async fn start(ports: Ports, replicas: &[String]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
        let certificate = made.cert.pem();
        std::fs::write(here.join("certificate.pem"), &certificate).unwrap();
        std::fs::write(here.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        std::fs::write(here.join("site.conf"), site(here, ports, replicas)).unwrap();
        std::fs::write(here.join("nginx.conf"), whole(here)).unwrap();
        let process = Command::new(program().unwrap())
            .arg("-p")
            .arg(here)
            .arg("-c")
            .arg(here.join("nginx.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(here.join("said")).unwrap())
            .spawn()
            .unwrap();
        let mut nginx = Self {
            process,
            folder,
            ports,
            certificate,
        };
        nginx.is_up().await;
        nginx
    }

    async fn is_up(&mut self) {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.https));
        until("nginx", || {
            let ended = self.process.try_wait().unwrap();
            let said = std::fs::read_to_string(self.folder.path().join("said")).unwrap_or_default();
            async move {
                assert!(ended.is_none(), "nginx ended: {said}");
                TcpStream::connect(address).await.ok()
            }
        })
        .await;
    }

    /// A client of that address on this machine; it finds the site by its name and trusts its certificate.
    pub(crate) fn client(&self, from: Ipv4Addr) -> reqwest::Client {
        let certificate = reqwest::Certificate::from_pem(self.certificate.as_bytes()).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.https));
        reqwest::Client::builder()
            .tls_certs_only([certificate])
            .resolve(NAME, address)
            .local_address(std::net::IpAddr::from(from))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap()
    }

    pub(crate) fn plain_url(&self) -> String {
        format!("http://{NAME}:{}", self.ports.http)
    }

    pub(crate) fn served(&self) -> Vec<Served> {
        let log = self.folder.path().join("sf-supervisor.access.log");
        let log = std::fs::read_to_string(log).unwrap_or_default();
        log.lines().map(served).collect()
    }

    /// The request with that id, once it is in the log: it gets there after its answer.
    pub(crate) async fn logged(&self, headers: &reqwest::header::HeaderMap) -> Served {
        let id = headers["x-request-id"].to_str().unwrap();
        until("line of the log", async || {
            let mut served = self.served().into_iter();
            served.find(|served| served.id == id)
        })
        .await
    }

    pub(crate) fn errors(&self) -> String {
        let log = self.folder.path().join("sf-supervisor.error.log");
        std::fs::read_to_string(log).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        use rustix::process::{Pid, Signal, kill_process};
        // Its workers end with the master when that is asked, not when it is killed.
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        let _ = self.process.wait();
    }
}

/// The program; Debian keeps it out of people's PATH.
pub(crate) fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders
        .map(|folder| folder.join("nginx"))
        .find(|program| program.exists())
}

/// The operator's file with what differs here.
fn site(folder: &Path, ports: Ports, replicas: &[String]) -> String {
    let mut site =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(SITE)).unwrap();
    let mut put = |old: &str, new: &str| {
        assert!(site.contains(old), "the site has no `{old}`");
        site = site.replace(old, new);
    };
    let here = folder.to_str().unwrap();
    put("listen [::]:80;", "");
    put("listen [::]:443 ssl http2;", "");
    put("listen 80;", &format!("listen 127.0.0.1:{};", ports.http));
    let tls = format!("listen 127.0.0.1:{} ssl http2;", ports.https);
    put("listen 443 ssl http2;", &tls);
    let certificates = format!("/etc/letsencrypt/live/{NAME}");
    put(
        &format!("{certificates}/fullchain.pem"),
        &format!("{here}/certificate.pem"),
    );
    put(
        &format!("{certificates}/privkey.pem"),
        &format!("{here}/key.pem"),
    );
    put("/var/log/nginx/", &format!("{here}/"));
    put("/var/www/html", &format!("{here}/www"));
    for (number, replica) in replicas.iter().enumerate() {
        // Only the first is switched on as the file comes.
        let off = if number == 0 { "" } else { "#" };
        put(
            &format!("{off}server 127.0.0.1:808{number}"),
            &format!("server {replica}"),
        );
    }
    site
}

/// What Debian's own nginx.conf is to the site.
fn whole(folder: &Path) -> String {
    let here = folder.display();
    let user = if rustix::process::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    let folders: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {here}/{kind};\n"))
        .concat();
    format!(
        "{user} daemon off; worker_processes 2; pid {here}/pid; error_log {here}/error.log;\n\
         events {{ worker_connections 2048; }}\n\
         http {{ {folders} include {here}/site.conf; }}\n"
    )
}

fn served(line: &str) -> Served {
    let words: Vec<&str> = line.split(' ').collect();
    let (_, to) = line.split_once(" to=").unwrap();
    let (to, _) = to.split_once(" took=").unwrap();
    let (_, id) = line.rsplit_once(" id=").unwrap();
    Served {
        path: words[3].to_owned(),
        status: words[4].parse().unwrap(),
        to: to.split(", ").map(str::to_owned).collect(),
        id: id.to_owned(),
    }
}
