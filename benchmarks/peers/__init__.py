"""The servers that Threadcast is measured against: the same job, each as its framework's documentation would have it.

`python -m benchmarks.peers.<name> PORT` serves one on 127.0.0.1, from the extra `bench`. Clients connect to
`/api/v1/ws?authentication=<user>` and post to `/chats/post`; all connections of the user get the stream of the answer.
"""
