"""Files and pictures: what happens to their bytes between a request and the store.

* `images`     drawing, in threads of its own
* `rasterize`  the program that draws SVG, in a process of its own
* `fetching`   pictures from other people's servers
* `uploads`    files of rooms: taken, sent as messages, removed
* `portraits`  avatars
* `cleaning`   the end of files that belong to no message

Nothing here knows HTTP requests; the endpoints are in `rest`.
"""
