#!/usr/bin/python3
import json, socket, sys
path, name, iso = sys.argv[1:]
request = {"jsonrpc": "2.0", "id": 1, "method": "domain.launch",
           "params": {"domain_name": name, "n_cpus": 2, "memory_kib": 262144, "iso_path": iso}}
wsod = socket.socket(socket.AF_UNIX)
wsod.connect(path)
wsod.sendall(json.dumps(request).encode() + b"\n")
answer = json.loads(wsod.makefile().readline())
if "error" in answer: sys.exit(answer["error"]["message"])
print(answer["result"]["ip_address"], "on", answer["result"]["network_name"])
