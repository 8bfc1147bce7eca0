"""Passes DNS questions on to another port, each a while later: slow_dns.py ADDRESS PORT SECONDS."""
import socket
import sys
import threading

address, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
front.bind((address, 53))


def pass_on(question, asker):
    back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    back.settimeout(5)
    back.sendto(question, (address, port))
    try:
        front.sendto(back.recv(4096), asker)
    except OSError:
        pass
    back.close()


print("ready", flush=True)
while True:
    question, asker = front.recvfrom(4096)
    threading.Timer(seconds, pass_on, (question, asker)).start()
