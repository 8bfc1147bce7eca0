"""A real SMTP server (TLS, by STARTTLS or from the first byte on, and authentication required) that keeps what it accepts in a folder.

FOLDER/answers holds one answer a line, used up from the top, one for each message that is offered:
a number such as 451 or 554 refuses it with that status, `drop` ends the connection in the middle, `slow` says
nothing for a minute and then refuses.
Without an answer there, a message is accepted. Each offer leaves a line in FOLDER/offers.
"""

import argparse
import asyncio
import pathlib
import ssl

from aiosmtpd.smtp import SMTP, AuthResult


class Keeper:
    def __init__(self, folder):
        self.folder = folder
        self.accepted = len(list(folder.glob("*.eml")))

    def next_answer(self):
        file = self.folder / "answers"
        lines = file.read_text().splitlines() if file.exists() else []
        if lines:
            rest = self.folder / "answers.new"
            rest.write_text("".join(line + "\n" for line in lines[1:]))
            rest.rename(file)
        return lines[0] if lines else "accept"

    async def handle_DATA(self, server, session, envelope):
        answer = self.next_answer()
        with (self.folder / "offers").open("a") as offers:
            offers.write(answer + "\n")
        if answer == "drop":
            server.transport.abort()
            return "421 4.3.2 Gone"
        if answer == "slow":
            await asyncio.sleep(60)
            return "421 4.3.2 Too late"
        if answer != "accept":
            return f"{answer} {answer[0]}.3.0 As the story has it"
        self.accepted += 1
        top = "".join(f"X-Envelope-To: {to}\r\n" for to in envelope.rcpt_tos)
        is_over_tls = session.ssl or server.transport.get_extra_info("ssl_object")
        top += f"X-Over-TLS: {'yes' if is_over_tls else 'no'}\r\n"
        top += f"X-STARTTLS: {'yes' if session.ssl else 'no'}\r\n"
        top += f"X-Authenticated: {'yes' if session.authenticated else 'no'}\r\n"
        new = self.folder / "message.new"
        new.write_bytes(top.encode() + envelope.content)
        new.rename(self.folder / f"{self.accepted:06}.eml")
        return "250 2.0.0 Accepted"


async def main():
    parser = argparse.ArgumentParser()
    for name in ["folder", "certificate", "key", "user", "password-file"]:
        parser.add_argument(f"--{name}", required=True, type=pathlib.Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--implicit-tls", action="store_true")
    options = parser.parse_args()
    password = options.password_file.read_text().strip().encode()
    user = str(options.user).encode()

    def authenticate(server, session, envelope, mechanism, data):
        return AuthResult(success=data.login == user and data.password == password)

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(options.certificate, options.key)
    keeper = Keeper(options.folder)

    def connection():
        return SMTP(
            keeper,
            hostname="localhost",
            tls_context=None if options.implicit_tls else tls,
            require_starttls=not options.implicit_tls,
            authenticator=authenticate,
            auth_required=True,
            # With TLS from the first byte on, aiosmtpd knows of none.
            auth_require_tls=not options.implicit_tls,
        )

    server = await asyncio.get_running_loop().create_server(
        connection, "127.0.0.1", options.port, ssl=tls if options.implicit_tls else None
    )
    new = options.folder / "port.new"
    new.write_text(str(server.sockets[0].getsockname()[1]))
    new.rename(options.folder / "port")
    await server.serve_forever()


asyncio.run(main())
