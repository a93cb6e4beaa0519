//! Who is who in the lab: one certificate authority, a certificate per part, and kubeconfigs that
//! use them. Made anew for every lab by openssl. Invariant: a part that has rights to show has a
//! name of its own, so that RBAC and the audit log tell parts apart.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::network;
use crate::process;

/// File name, common name, organisation (the group in Kubernetes).
const CLIENTS: &[(&str, &str, &str)] = &[
    ("admin", "ottla-lab:admin", "system:masters"),
    ("apiserver-client", "ottla-lab:apiserver", "system:masters"),
    (
        "controller-manager",
        "system:kube-controller-manager",
        "ottla-lab",
    ),
    ("scheduler", "system:kube-scheduler", "ottla-lab"),
    ("kube-proxy", "system:kube-proxy", "ottla-lab"),
    ("coredns", "ottla-lab:dns", "ottla-lab"),
    ("storage", "ottla-lab:storage", "ottla-lab"),
];

/// Nothing of the machine's own openssl.cnf: it adds extensions.
const CONFIG: &str = "[req]\ndistinguished_name = name\n[name]\n";

/// Makes authority, API server's, parts' and service accounts' keys in `dir`.
pub fn make(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir)?;
    fs::write(dir.join("openssl.cnf"), CONFIG)?;
    request(
        dir,
        "ca",
        "/CN=ottla-lab",
        &[
            "basicConstraints=critical,CA:TRUE",
            "keyUsage=critical,keyCertSign,cRLSign",
        ],
        false,
    )?;
    let names = format!(
        "subjectAltName=IP:{},IP:{},IP:127.0.0.1,DNS:kubernetes,DNS:kubernetes.default,\
         DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local",
        network::CONTROL,
        network::API_SERVICE,
    );
    request(
        dir,
        "apiserver",
        "/CN=kube-apiserver",
        &[&names, "extendedKeyUsage=serverAuth"],
        true,
    )?;
    for (file, name, group) in CLIENTS {
        client(dir, file, name, group)?;
    }
    service_accounts(dir)
}

/// The key that signs the tokens of service accounts, and its public half.
fn service_accounts(dir: &Path) -> Result<()> {
    let key = "service-accounts.key";
    let public = "service-accounts.pub";
    for arguments in [
        &[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-out",
            key,
        ][..],
        &["pkey", "-in", key, "-pubout", "-out", public],
    ] {
        process::run_quiet(process::command("openssl", arguments).current_dir(dir))?;
    }
    Ok(())
}

/// A certificate for a client of the API server.
pub fn client(dir: &Path, file: &str, name: &str, group: &str) -> Result<()> {
    request(
        dir,
        file,
        &format!("/O={group}/CN={name}"),
        &["extendedKeyUsage=clientAuth"],
        true,
    )
}

fn request(dir: &Path, file: &str, subject: &str, extensions: &[&str], signed: bool) -> Result<()> {
    let mut openssl = process::command(
        "openssl",
        ["req", "-x509", "-nodes", "-newkey", "ec", "-days", "365"],
    );
    openssl
        .current_dir(dir)
        .args(["-pkeyopt", "ec_paramgen_curve:P-256"])
        .args(["-config", "openssl.cnf", "-subj", subject])
        .args([
            "-keyout",
            &format!("{file}.key"),
            "-out",
            &format!("{file}.crt"),
        ]);
    for extension in extensions {
        openssl.args(["-addext", extension]);
    }
    if signed {
        openssl.args(["-CA", "ca.crt", "-CAkey", "ca.key"]);
    }
    process::run_quiet(&mut openssl).map(|_| ())
}

/// Writes a kubeconfig for the client `file` to `to`.
pub fn kubeconfig(dir: &Path, file: &str, to: &Path) -> Result<()> {
    let pki = dir.display();
    let server = network::CONTROL;
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: ottla-lab\n\
         clusters:\n- name: ottla-lab\n  cluster:\n    server: https://{server}:6443\n    \
         certificate-authority: {pki}/ca.crt\n\
         users:\n- name: {file}\n  user:\n    client-certificate: {pki}/{file}.crt\n    \
         client-key: {pki}/{file}.key\n\
         contexts:\n- name: ottla-lab\n  context: {{cluster: ottla-lab, user: {file}}}\n"
    );
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(to, text).with_context(|| format!("cannot write {}", to.display()))
}
