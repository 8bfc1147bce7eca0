"""SHA256SUMS over everything that was made, and a page that says what is signed: nothing yet."""

import hashlib

NOTE = """\
Rollcall {version}, commit {commit}{changed}.

These files are NOT SIGNED. The keys are the district's, and stay with it:

  SHA256SUMS   gpg --detach-sign --armor SHA256SUMS        makes SHA256SUMS.asc, here
  .deb         through the signed index of your repository (reprepro, aptly)
  .rpm         rpmsign --addsign FILE
  .msi         osslsigncode sign -pkcs12 KEY.p12 -ts URL -in FILE -out signed/FILE
  .pkg         productsign --sign "Developer ID Installer: ..." FILE signed/FILE   (on a Mac)

The folder signed/ is the place for them; deploy/package never writes there.
To check the sums: sha256sum --check SHA256SUMS
To check that the sources make these very bytes: run deploy/package on the same commit, and compare.
{left_out}"""


def write(project, out, made, left_out):
    (out / "signed").mkdir(exist_ok=True)
    changed = ", with changes that are not committed" if project.is_changed else ""
    if project.is_pretended:
        changed += ", with a version that is not that of Cargo.toml (--as-version)"
    missing = "".join(f"\nLeft out: {kind}: {reason}\n" for kind, reason in left_out)
    note = out / "README.txt"
    note.write_text(NOTE.format(version=project.version, commit=project.commit, changed=changed, left_out=missing))
    lines = sorted(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}" for file in {*made, note})
    (out / "SHA256SUMS").write_text("\n".join(sorted(lines, key=lambda line: line[66:])) + "\n")
