//! A mail server as districts have it: Postfix from Debian, with STARTTLS and authentication.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::patience::{PATIENCE, eventually};
use super::pki::Pki;
use super::smtp::{Mail, PASSWORD, USER, read_mails};
use super::{is_root, ports, process, program};

/// A running Postfix with its own configuration, queue and mailboxes.
#[derive(Debug)]
pub struct Postfix {
    folder: PathBuf,
    mailbox: PathBuf,
    /// Its port on 127.0.0.1.
    pub port: u16,
}

impl Postfix {
    /// Starts one, where that is possible.
    ///
    /// # Errors
    /// What the machine lacks for it.
    ///
    /// # Panics
    /// When it is installed and does not start.
    pub fn start(folder: &Path, pki: &Pki) -> Result<Self, String> {
        if !is_root() {
            return Err("Postfix is started by root only".to_owned());
        }
        for name in ["postfix", "saslpasswd2"] {
            program(name).ok_or_else(|| format!("`{name}` is not installed"))?;
        }
        let postfix = Self {
            folder: folder.join("postfix"),
            mailbox: folder.join("postfix/mailbox"),
            port: ports::free(),
        };
        postfix.write_files(pki);
        postfix.make_password();
        let _ = postfix.control("start").success();
        eventually("Postfix", PATIENCE, || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, postfix.port)).map_err(|e| e.to_string())
        });
        Ok(postfix)
    }

    /// What was delivered, in the order of arrival.
    #[must_use]
    pub fn mails(&self) -> Vec<Mail> {
        read_mails(&self.mailbox.join("new"), |_| true)
    }

    fn write_files(&self, pki: &Pki) {
        for name in ["", "queue", "data", "mailbox", "sasl"] {
            let made = self.folder.join(name);
            fs::create_dir_all(&made).expect("a folder can be made");
        }
        // Postfix reaches its folders as its own user, through that of the story.
        for folder in self.folder.ancestors().take(2) {
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(folder, mode).expect("a folder's mode can be set");
        }
        let (user, group) = ids_of("postfix");
        chown(self.folder.join("data"), Some(user), Some(group)).expect("root may give a folder");
        chown(&self.mailbox, Some(user), Some(group)).expect("root may give a folder");
        let write = |name: &str, text: &str| {
            fs::write(self.folder.join(name), text).expect("Postfix's files can be written");
        };
        let sasl = self.folder.join("sasl");
        write("main.cf", &self.main_cf(pki, user, group));
        write("master.cf", &master_cf(self.port));
        let database = sasl.join("db");
        let sasl_conf = format!(
            "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN\n\
             sasldb_path: {}\n",
            database.display()
        );
        write("sasl/smtpd.conf", &sasl_conf);
    }

    fn main_cf(&self, pki: &Pki, user: u32, group: u32) -> String {
        let at = self.folder.display();
        let (certificate, key) = (pki.certificate.display(), pki.key.display());
        format!(
            "compatibility_level = 3.6\n\
             queue_directory = {at}/queue\n\
             data_directory = {at}/data\n\
             inet_interfaces = 127.0.0.1\n\
             inet_protocols = ipv4\n\
             myhostname = localhost\n\
             mydestination =\n\
             mynetworks =\n\
             alias_maps =\n\
             virtual_mailbox_domains = school.example\n\
             virtual_mailbox_base = {at}\n\
             virtual_mailbox_maps = static:mailbox/\n\
             virtual_uid_maps = static:{user}\n\
             virtual_gid_maps = static:{group}\n\
             virtual_minimum_uid = 1\n\
             smtpd_tls_cert_file = {certificate}\n\
             smtpd_tls_key_file = {key}\n\
             smtpd_tls_security_level = encrypt\n\
             smtpd_tls_auth_only = yes\n\
             smtpd_tls_received_header = yes\n\
             smtpd_sasl_auth_enable = yes\n\
             smtpd_sasl_type = cyrus\n\
             smtpd_sasl_path = smtpd\n\
             smtpd_sasl_authenticated_header = yes\n\
             cyrus_sasl_config_path = {at}/sasl\n\
             smtpd_recipient_restrictions = permit_sasl_authenticated, reject\n\
             maillog_file_prefixes = {at}\n\
             maillog_file = {at}/postfix.log\n"
        )
    }

    fn make_password(&self) {
        let database = self.folder.join("sasl/db");
        let mut command = Command::new("sh");
        // The password goes in by standard input, which `process::run` leaves empty.
        command.args([
            "-c",
            "printf '%s' \"$PASSWORD\" | saslpasswd2 -p -c -u localhost -f \"$1\" \"$2\"",
            "sh",
        ]);
        command.arg(&database).arg(USER).env("PASSWORD", PASSWORD);
        let _ = process::run(&mut command, PATIENCE).success();
        let mode = fs::Permissions::from_mode(0o644);
        fs::set_permissions(&database, mode).expect("the database's mode can be set");
    }

    fn control(&self, verb: &str) -> process::Finished {
        let mut command = Command::new(program("postfix").expect("it was found before"));
        command.arg("-c").arg(&self.folder).arg(verb);
        process::run(&mut command, PATIENCE)
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.join("postfix.log")).unwrap_or_default();
            eprintln!("--- postfix ---\n{log}");
        }
        let mut command = Command::new(program("postfix").unwrap_or_else(|| "postfix".into()));
        let _ = command.arg("-c").arg(&self.folder).arg("stop").output();
    }
}

fn ids_of(user: &str) -> (u32, u32) {
    let text = fs::read_to_string("/etc/passwd").expect("the list of users can be read");
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("{user}:")));
    let fields: Vec<&str> = line.expect("Postfix's user exists").split(':').collect();
    let number = |at: usize| fields[at].parse().expect("an id is a number");
    (number(2), number(3))
}

/// Debian's services without their chroots, for the parts that take mail in and deliver it.
fn master_cf(port: u16) -> String {
    format!(
        "127.0.0.1:{port} inet n - n - - smtpd\n\
         pickup unix n - n 60 1 pickup\n\
         cleanup unix n - n - 0 cleanup\n\
         qmgr unix n - n 300 1 qmgr\n\
         tlsmgr unix - - n 1000? 1 tlsmgr\n\
         rewrite unix - - n - - trivial-rewrite\n\
         bounce unix - - n - 0 bounce\n\
         defer unix - - n - 0 bounce\n\
         trace unix - - n - 0 bounce\n\
         verify unix - - n - 1 verify\n\
         proxymap unix - - n - - proxymap\n\
         virtual unix - n n - - virtual\n\
         error unix - - n - - error\n\
         retry unix - - n - - error\n\
         discard unix - - n - - discard\n\
         anvil unix - - n - 1 anvil\n\
         scache unix - - n - 1 scache\n\
         postlog unix-dgram n - n - 1 postlogd\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig;

    const CLIENT: &str = r#"
import smtplib, ssl, sys
port, authority, user, password = sys.argv[1:]
client = smtplib.SMTP("localhost", int(port))
client.starttls(context=ssl.create_default_context(cafile=authority))
if password:
    client.login(user, password)
client.sendmail("rollcall@school.example", ["help-desk@school.example"], "Subject: Hello\n\nWorld")
"#;

    fn offer(port: u16, pki: &Pki, password: &str) -> process::Finished {
        let mut command = Command::new("python3");
        command
            .args(["-c", CLIENT, &port.to_string()])
            .arg(&pki.authority);
        process::run(command.args([USER, password]), PATIENCE)
    }

    #[test]
    fn mail_is_taken_with_a_password_only() {
        let folder = rig::folder();
        let pki = Pki::make(folder.path());
        let postfix = match Postfix::start(folder.path(), &pki) {
            Ok(postfix) => postfix,
            Err(reason) => return rig::skip("Postfix takes mail with a password only", &reason),
        };
        let said = offer(postfix.port, &pki, "").failure();
        assert!(said.contains("denied"), "{said}");
        let _ = offer(postfix.port, &pki, PASSWORD).success();
        let mails = eventually("the mail", PATIENCE, || {
            let mails = postfix.mails();
            if mails.is_empty() {
                Err("nothing yet")
            } else {
                Ok(mails)
            }
        });
        assert_eq!(mails[0].header("Subject").as_deref(), Some("Hello"));
    }
}
