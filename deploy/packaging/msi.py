"""The installer for Windows, by wixl and msibuild, which run on Linux.

What wixl has no words for is added by msibuild: properties that an administrator may set, and the order and type
of custom actions.
"""

import os
import pathlib
import shutil
import struct
import tempfile
import uuid

from project import DEPLOY, Stop, run

COMPILER = "x86_64-w64-mingw32-gcc"

# Names that mean the same installer each time; another commit of the same version is another package.
NAMESPACE = uuid.UUID("0f3f0a9e-6c0a-5b8e-9d55-2f1c2b7f6a10")

# Custom actions in a DLL, deferred, as the system, and with their data kept out of logs.
ACTION_TYPE = 1 + 0x400 + 0x800 + 0x2000

# Where they stand in the order of what the installer does, whatever wixl makes of it.
SEQUENCE = {
    "MarkUpdate": 1401,
    # Within the transaction that InstallInitialize (1500) begins: where the new version fails, the old one is put back.
    "RemoveExistingProducts": 1501,
    "SetForget": 3600,
    "ForgetData": 3601,
    "SetToken": 5750,
    "TakeToken": 5751,
    # InstallServices is 5800, StartServices 5900.
    "SettleService": 5810,
    # Behind InstallFinalize, which is 6600.
    "ForgetToken": 6610,
    "ForgetTakeToken": 6611,
}


def agent(project, source, out):
    for tool, package in [("wixl", "wixl"), ("msibuild", "msitools"), (COMPILER, "gcc-mingw-w64-x86-64-win32")]:
        if not shutil.which(tool):
            raise Stop(f"`{tool}` is missing: apt-get install {package}")
    program = source.windows_agent()
    file = out.resolve() / f"rollcall-agent-{project.version}.msi"
    with tempfile.TemporaryDirectory(prefix="rollcall-msi-") as folder:
        stage = pathlib.Path(folder)
        staged = stage / "rollcall-agent.exe"
        shutil.copyfile(program, staged)
        os.utime(staged, (project.epoch, project.epoch))
        shutil.copyfile(DEPLOY / "windows/rollcall-agent.wxs", stage / "agent.wxs")
        action = stage / "installer.dll"
        # Neither the clock nor the library's path decides about its bytes.
        run([COMPILER, "-shared", "-Os", "-s", "-Wall", "-Werror", "-Wl,--no-insert-timestamp,--disable-auto-image-base",
             "-o", action.name, DEPLOY / "windows/installer.c", "-lmsi", "-ladvapi32"],
            cwd=stage, env=project.environment())
        os.utime(action, (project.epoch, project.epoch))
        variables = {
            "Version": project.version,
            "ProductCode": code(f"product {project.version}"),
            "PackageCode": code(f"package {project.version} {project.commit} {project.is_changed}"),
        }
        defined = [word for name, value in variables.items() for word in ("-D", f"{name}={value}")]
        run(["wixl", "-a", "x64", *defined, "-o", "agent.msi", "agent.wxs"], cwd=stage, env=project.environment())
        package_code = "{" + variables["PackageCode"] + "}"
        for change in (["-s", "Rollcall agent", "Rollcall", "x64;1033", package_code], queries()):
            run(["msibuild", "agent.msi", *change], cwd=stage, env=project.environment())
        file.write_bytes(dated((stage / "agent.msi").read_bytes(), project.epoch))
    return file


def code(name):
    return str(uuid.uuid5(NAMESPACE, name)).upper()


def dated(database, epoch):
    """Puts the commit's time in place of the moments of writing, which msitools takes from the clock.

    The summary is a property set: [MS-OLEPS] 2.21, format F29F85E0-4FF9-1068-AB91-08002B27B3D9. Its properties
    12 and 13 are times in units of 100 ns since 1601.
    """
    mark = uuid.UUID("f29f85e0-4ff9-1068-ab91-08002b27b3d9").bytes_le
    if database.count(mark) != 1:
        raise Stop("the installer has no summary, or several")
    at = database.index(mark) + len(mark)
    # The offset counts from the head of the set, 28 bytes before the format's name.
    section = at - len(mark) - 28 + struct.unpack_from("<I", database, at)[0]
    count = struct.unpack_from("<I", database, section + 4)[0]
    filetime = struct.pack("<Q", (epoch + 11_644_473_600) * 10_000_000)
    patched, times = bytearray(database), 0
    for number in range(count):
        name, offset = struct.unpack_from("<II", database, section + 8 + 8 * number)
        if name in (12, 13):
            if struct.unpack_from("<I", database, section + offset)[0] != 64:
                raise Stop("the installer's summary is not in one piece")
            patched[section + offset + 4:section + offset + 12] = filetime
            times += 1
    if times != 2:
        raise Stop(f"the installer's summary has {times} times, not 2")
    return bytes(patched)


def queries():
    secure = "COLLECTOR;TOKEN;KEEPDATA;WIX_DOWNGRADE_DETECTED;WIX_UPGRADE_DETECTED"
    told = [f"UPDATE `Property` SET `Value`='{secure}' WHERE `Property`='SecureCustomProperties'"]
    for name, number in SEQUENCE.items():
        told.append(f"UPDATE `InstallExecuteSequence` SET `Sequence`={number} WHERE `Action`='{name}'")
    # wixl marks what sets a property as if it were deferred.
    told.append("UPDATE `CustomAction` SET `Type`=51 WHERE `Type`=2099")
    # At once, and whatever becomes of it the update goes on.
    told.append("UPDATE `CustomAction` SET `Type`=65 WHERE `Action`='MarkUpdate'")
    for name in ("TakeToken", "ForgetData", "SettleService"):
        told.append(f"UPDATE `CustomAction` SET `Type`={ACTION_TYPE} WHERE `Action`='{name}'")
    return ["-q", *told]
