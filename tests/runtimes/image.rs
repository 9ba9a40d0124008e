//! The image that every container runs: busybox, and a web server that says who asks.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::OnceLock,
};

use crate::support::sh;

/// What [`archive`] is called once it has been loaded.
pub(crate) const NAME: &str = "web";
/// What runs the web server, on port 80.
pub(crate) const SERVER: &[&str] = &["/bin/httpd", "-f", "-p", "80", "-h", "/www"];
/// What the web server answers with the client's address.
pub(crate) const PEER: &str = "/cgi-bin/peer";

/// Makes what the web server serves, in the folder where this shell script is run.
pub(crate) const PAGES: &str = r#"
mkdir cgi-bin
cat >cgi-bin/peer <<'.'
#!/bin/sh
address=${REMOTE_ADDR#'[::ffff:'} # an IPv4 address, as a socket of IPv6 sees it
address=${address#[}
printf 'Content-Type: text/plain\r\n\r\n%s\n' "${address%]}"
.
chmod +x cgi-bin/peer
"#;

const BUILD: &str = r#"
mkdir -p root/bin root/etc root/proc root/sys root/dev root/tmp
cp /bin/busybox root/bin/busybox
for name in $(busybox --list); do [ "$name" = busybox ] || ln -s busybox "root/bin/$name"; done
umoci --log=error init --layout layout
umoci --log=error new --image layout:web
umoci --log=error insert --image layout:web root /
umoci --log=error config --image layout:web --config.cmd /bin/sleep --config.cmd 3600
tar -C layout -cf web.tar .
"#;

/// An OCI archive of the image, made the first time that a run of the suite asks for it.
pub(crate) fn archive() -> &'static Path {
    static ARCHIVE: OnceLock<PathBuf> = OnceLock::new();
    ARCHIVE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        sh(&format!("set -e; cd {}; mkdir -p root/www; (cd root/www; {PAGES}); {BUILD}", folder.path().display()));
        // Renamed into place: another run of the suite may be reading the one that is there.
        let (fresh, archive) = (kept(&format!("web.{}", process::id())), kept("web.tar"));
        fs::copy(folder.path().join("web.tar"), &fresh).unwrap();
        fs::rename(fresh, &archive).unwrap();
        archive
    })
}

fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}
