//! A real virtual machine: a kernel of its own under QEMU, emulated, so that no support by the processor is
//! needed. It is a client of the mesh and a server in it, and knows nothing of it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use ambit_tests::{Behaviour, Guest, Mesh, Outcome, Pod, PodSpec, Process, Server, ask, manifest, run, until};

/// How long an emulated machine may take to boot.
const BOOT_TIME: Duration = Duration::from_secs(120);
/// How long a change may take to be felt by it.
const PATIENCE: Duration = Duration::from_secs(30);
/// Ports of the servers: the machine's, and the one it asks.
const HTTP: u16 = 8080;
const WHOAMI: u16 = 8081;
/// What the kernel needs for its network interface, each after what it needs itself.
const MODULES: [&str; 8] = [
    "net/core/failover.ko",
    "drivers/net/net_failover.ko",
    "drivers/virtio/virtio_ring.ko",
    "drivers/virtio/virtio.ko",
    "drivers/virtio/virtio_pci_legacy_dev.ko",
    "drivers/virtio/virtio_pci_modern_dev.ko",
    "drivers/virtio/virtio_pci.ko",
    "drivers/net/virtio_net.ko",
];

#[test]
fn a_machine_with_a_kernel_of_its_own() -> Result<()> {
    let mut mesh = Mesh::new()?;
    let vm = mesh.pod(PodSpec::new("shop", "vm", 1).guest(Guest::Tap))?;
    let web = mesh.pod(PodSpec::new("shop", "web", 2))?;
    let plain = mesh.pod(PodSpec::new("outside", "plain", 2))?;
    let [to_web, _] = mesh.service("web", WHOAMI)?;
    let [to_vm, _] = mesh.service("vm", HTTP)?;
    let _server = Server::start(&web.netns(), WHOAMI, Behaviour::Whoami)?;
    mesh.start()?;

    let capture = mesh.world.capture()?;
    let machine = boot(mesh.world.directory(), &vm, to_web)?;
    // It says what the server in the mesh says it is.
    let asked = format!("asked: {}:", vm.ip4());
    until("the machine's own address at the server", BOOT_TIME, || machine.output().contains(&asked).then_some(()))
        .with_context(|| machine.output() + &machine.errors())?;
    let get = || ask(&web.netns(), to_vm, "GET / HTTP/1.0\r\n\r");
    let page = until("a page of the machine's", PATIENCE, || get().ok()?.answer().ok())?;
    ensure!(page.contains("200 OK"), "{page}");
    let client = format!("{}]:", web.ip4());
    until("its client's address in its log", PATIENCE, || machine.output().contains(&client).then_some(()))
        .with_context(|| machine.output())?;
    capture.stop()?.only_tunnels()?;

    for (node, source, destination) in [(1, &vm, &web), (2, &vm, &web), (1, &web, &vm), (2, &web, &vm)] {
        let line = mesh.agent(node)?.wait_access(|line| line.field("dst.workload") == destination.name())?;
        assert_eq!(line.field("src.identity"), source.identity());
        assert_eq!(line.field("dst.identity"), destination.identity());
    }
    mesh.config.write("strict.yaml", &manifest::mesh_mode("STRICT"))?;
    until("a plain client turned down", PATIENCE, || {
        ask(&plain.netns(), vm.at(HTTP), "GET / HTTP/1.0\r\n\r").ok()?.is_turned_down().then_some(())
    })?;
    ensure!(matches!(get()?, Outcome::Answered(_)), "the mesh no longer reaches it");
    Ok(())
}

/// Starts the machine on the pod's tap; it goes when the process is dropped.
fn boot(folder: &Path, vm: &Pod, to_web: SocketAddr) -> Result<Process> {
    let kernel = debian_kernel()?;
    let initrd = initrd(&folder.join("machine"), &kernel, vm, to_web)?;
    let mut qemu = vm.outer_netns().command("qemu-system-x86_64");
    qemu.args(["-accel", "tcg", "-m", "256", "-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio"]);
    qemu.arg("-kernel").arg(only(&kernel.join("boot"), "vmlinuz-")?).arg("-initrd").arg(initrd);
    qemu.args(["-append", "console=ttyS0 quiet panic=-1"]);
    qemu.args(["-netdev", "tap,id=net,ifname=tap0,script=no,downscript=no", "-device", "virtio-net-pci,netdev=net"]);
    Process::start(qemu, folder, "machine")
}

/// Copies a module that may be compressed.
fn unpack(module: &Path, to: &Path) -> Result<()> {
    if module.exists() {
        return Ok(fs::copy(module, to).map(drop)?);
    }
    let xz = Command::new("xz").args(["--decompress", "--stdout"]).arg(module.with_extension("ko.xz")).output()?;
    ensure!(xz.status.success(), "{}", String::from_utf8_lossy(&xz.stderr));
    Ok(fs::write(to, xz.stdout)?)
}

/// Debian's kernel for virtual machines, unpacked and not installed: fetched once, kept with the tests.
fn debian_kernel() -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("machine-kernel");
    if folder.exists() {
        return Ok(folder);
    }
    let depends = run(Command::new("apt-cache").args(["depends", "linux-image-cloud-amd64"]))?;
    let package = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    let package = package.context("apt knows no linux-image-cloud-amd64: run apt-get update")?;
    let staging = folder.with_extension("new");
    fs::remove_dir_all(&staging).ok();
    fs::create_dir_all(&staging)?;
    run(Command::new("apt-get").args(["-qq", "download", package]).current_dir(&staging))?;
    let archive = only(&staging, "linux-image-")?;
    run(Command::new("dpkg-deb").arg("--extract").arg(&archive).arg(&staging))?;
    fs::remove_file(archive)?;
    fs::rename(&staging, &folder)?;
    Ok(folder)
}

/// A file system in memory: one program, some modules, and what is done at the start.
fn initrd(root: &Path, kernel: &Path, vm: &Pod, to_web: SocketAddr) -> Result<PathBuf> {
    for folder in ["bin", "dev", "proc", "modules", "www"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::copy("/bin/busybox", root.join("bin/busybox"))?;
    fs::write(root.join("www/index.html"), "a page of the machine's\n")?;
    // Debian 13 has its modules below usr, and compressed.
    let modules = ["usr/lib/modules", "lib/modules"].map(|folder| kernel.join(folder));
    let modules = modules.iter().find(|folder| folder.exists()).context("a kernel without modules")?;
    let modules = only(modules, "")?;
    let builtin = fs::read_to_string(modules.join("modules.builtin"))?;
    let loaded = MODULES.iter().filter(|module| !builtin.lines().any(|line| line == format!("kernel/{module}")));
    for (number, module) in loaded.enumerate() {
        unpack(&modules.join("kernel").join(module), &root.join(format!("modules/{number}.ko"))).context(*module)?;
    }
    let init = root.join("init");
    fs::write(&init, script(vm, to_web))?;
    run(Command::new("chmod").arg("755").arg(&init))?;
    let image = root.with_extension("cpio");
    let files = run(Command::new("find").arg(".").current_dir(root))?;
    let list = root.with_extension("list");
    fs::write(&list, files)?;
    let mut cpio = Command::new("cpio");
    cpio.args(["--create", "--format=newc", "--quiet"]).current_dir(root);
    let made = cpio.stdin(Stdio::from(fs::File::open(&list)?)).stdout(fs::File::create(&image)?).status()?;
    ensure!(made.success(), "cpio: {made}");
    Ok(image)
}

/// The machine has the pod's address, serves a page, and asks the mesh who it is, again and again.
fn script(vm: &Pod, to_web: SocketAddr) -> String {
    let (own, service, port) = (vm.ip4(), to_web.ip(), to_web.port());
    format!(
        "#!/bin/busybox sh\n\
         bb=/bin/busybox\n\
         $bb mount -t proc proc /proc\n\
         $bb mount -t devtmpfs dev /dev\n\
         for module in /modules/*.ko; do $bb insmod $module; done\n\
         $bb ip link set lo up\n\
         $bb ip link set eth0 up\n\
         $bb ip addr add {own}/32 dev eth0\n\
         $bb ip route add 169.254.2.1/32 dev eth0\n\
         $bb ip route add default via 169.254.2.1\n\
         $bb httpd -f -vv -p {HTTP} -h /www 2>&1 &\n\
         while :; do\n\
           answer=$(echo who | $bb nc -w 5 {service} {port})\n\
           echo \"asked: $answer\"\n\
           $bb sleep 1\n\
         done\n"
    )
}

/// The one entry of a folder whose name starts so.
fn only(folder: &Path, prefix: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    let mut found = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    Ok(found.next().with_context(|| format!("no {prefix}* in {}", folder.display()))?.path())
}
