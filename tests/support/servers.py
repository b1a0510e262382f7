"""The uplink's servers, which tell a client its own address and port: TCP on port 7000 as a line of text,
which is followed by an echo of what the client says; TCP on port 7003 as a download without end; UDP on port 53 as an answer to any DNS question,
with the address and 0.0.x.y, where x.y is the port (a guest's busybox has no other UDP client)."""

import ipaddress
import socketserver
import struct
import threading
import time


class TellTcp(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write("{} {}\n".format(*self.client_address).encode())
        for line in self.rfile:
            self.wfile.write(line)


class TellUdp(socketserver.DatagramRequestHandler):
    def handle(self):
        # RFC 1035, section 4: the question as it came, then two answers that point at its name.
        question = self.packet[12:]
        number = self.packet[:2]
        address, port = self.client_address
        answers = [ipaddress.IPv4Address(address).packed, struct.pack("!I", port)]
        self.wfile.write(number + struct.pack("!HHHHH", 0x8180, 1, len(answers), 0, 0) + question)
        for answer in answers:
            self.wfile.write(struct.pack("!HHHIH", 0xC00C, 1, 1, 0, 4) + answer)


class SendZeros(socketserver.BaseRequestHandler):
    def handle(self):
        # Enough to have packets under way at every moment, and a processor left for the guest.
        while True:
            self.request.sendall(bytes(16 * 1024))
            time.sleep(0.002)


class TcpServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


udp = socketserver.UDPServer(("0.0.0.0", 53), TellUdp)
tcp = TcpServer(("0.0.0.0", 7000), TellTcp)
zeros = TcpServer(("0.0.0.0", 7003), SendZeros)
threading.Thread(target=udp.serve_forever, daemon=True).start()
threading.Thread(target=zeros.serve_forever, daemon=True).start()
print("ready", flush=True)
tcp.serve_forever()
