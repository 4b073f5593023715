/* SPDX-License-Identifier: MIT
 *
 * Clients of a listening manager that may send anything: the manager's own side (listen.c and
 * requests.c, on a libuv loop in this process), and up to four clients that connect, say hello or
 * not, send any frames and pass any descriptors, and go.
 *
 * Input: its first bit chooses a door with a key or one without; then steps (see step()).
 *
 * What must hold. A client is greeted first; until it is welcome it hears nothing but errors, and
 * with a key it is welcome only after the right proof. Every packet of the manager's is a frame.
 * Somebody else's file is neither listed nor removed, and neither is the scope's. When all clients
 * are gone and what they made is released, there are as many descriptors, files and records as
 * before.
 */
#include "entries.h"
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "manager/program/listen.h"
#include "manager/wire/protocol.h"
#include "shm/error.h"

#define CLIENTS  4
#define STEPS    40
#define STRANGER 65534
#define KEY      "a key"

static const char *const addresses[] = {"/dev/shm/doors/open", "/dev/shm/doors/locked"};

static uv_loop_t loop;
static struct weir__requests requests[2];
static struct weir__listener *doors[2];
static ino_t precious;
static int descriptors, door;

static struct client {
    int fd; /* -1: not connected */
    bool greeted, welcome, proved;
    struct weir__auth_session session;
} clients[CLIENTS];

/* ---- around --------------------------------------------------------------------------------- */

/* All but pipes: libFuzzer starts a symbolizer when it likes. */
static int count_descriptors(void)
{
    struct stat st;
    int count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fstat(fd, &st) == 0 && !S_ISFIFO(st.st_mode);
    return count;
}

static ino_t inode_of(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0 ? st.st_ino : 0;
}

static bool serve_host(void *arg)
{
    (void)arg;
    return true;
}

static void open_door(int which)
{
    struct weir__auth_key key = {.size = which ? sizeof KEY : 0};
    struct weir__listener_context host = {.loop = &loop, .serve_host = serve_host};
    int fd = weir__scope_file_make(&requests[which].id);

    memcpy(key.bytes, KEY, key.size);
    HOLD(fd >= 0 && weir__scope_file_link(fd, requests[which].id) == 0);
    requests[which].scope_fd = fd;
    host.requests = &requests[which];
    HOLD(weir__listener_open(&doors[which], &host, addresses[which], &key) == 0);
}

/* A file of another user, which nobody may touch, whatever is asked for. */
static void prepare(void)
{
    int fd;

    fuzz_isolate();
    HOLD(uv_loop_init(&loop) == 0);
    open_door(0);
    if (weir__auth_available())
        open_door(1);
    fd = open("/dev/shm/precious", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    HOLD(fd >= 0 && write(fd, "x", 1) == 1 && fchown(fd, STRANGER, STRANGER) == 0);
    close(fd);
    precious = inode_of("/dev/shm/precious");
    for (int i = 0; i < CLIENTS; i++)
        clients[i].fd = -1;
    uv_run(&loop, UV_RUN_NOWAIT);
    descriptors = count_descriptors();
}

/* ---- a client ------------------------------------------------------------------------------- */

static bool begins_with(const json_t *message, const char *key)
{
    return json_object_get(message, key) != NULL;
}

/* What the manager may say to this client now. */
static void judge(struct client *client, const json_t *message)
{
    if (!client->greeted) {
        HOLD(begins_with(message, "weir") || begins_with(message, "error"));
        client->greeted = true;
        if (begins_with(message, "weir"))
            HOLD(weir__hex_read(client->session.server_nonce, WEIR__NONCE_SIZE,
                                json_string_value(json_object_get(message, "nonce"))));
    } else if (!client->welcome && begins_with(message, "welcome")) {
        HOLD(door == 0 || client->proved);
        client->welcome = true;
    } else if (!client->welcome) {
        HOLD(begins_with(message, "error"));
    } else {
        HOLD(json_object_size(message) == 1 || begins_with(message, "error") ||
             begins_with(message, "blocks"));
    }
    if (begins_with(message, "error"))
        HOLD(json_integer_value(json_object_get(message, "error")) < 0 &&
             json_string_length(json_object_get(message, "message")) > 0);
}

static void hear(struct client *client)
{
    json_t *message = NULL;
    int result;

    while (client->fd >= 0 && (result = weir__frame_receive(client->fd, &message)) != -EAGAIN) {
        HOLD(result == 1 || result == 0 || result == -EPIPE); /* whole frames, or the end */
        if (result != 1) {
            close(client->fd);
            client->fd = -1;
            return;
        }
        judge(client, message);
        json_decref(message);
    }
}

static void run(void)
{
    for (int i = 0; i < 3; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    for (int i = 0; i < CLIENTS; i++)
        hear(&clients[i]);
}

static void dial(struct client *client)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};

    if (client->fd >= 0)
        close(client->fd);
    *client =
        (struct client){.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    client->session.scope = requests[door].id;
    strcpy(name.sun_path, addresses[door]);
    HOLD(connect(client->fd, (struct sockaddr *)&name, sizeof name) == 0);
}

static void send_frame(const struct client *client, const void *data, size_t size, int passed)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(2 * sizeof(int))];
    } control = {0};
    const int both[] = {passed, passed};
    /* One, or two at once. */
    const size_t count = size % 5 == 4 ? 2 : 1;

    if (passed >= 0) {
        packet.msg_control = &control;
        packet.msg_controllen = CMSG_SPACE(count * sizeof(int));
        *CMSG_FIRSTHDR(&packet) = (struct cmsghdr){.cmsg_len = CMSG_LEN(count * sizeof(int)),
                                                   .cmsg_level = SOL_SOCKET,
                                                   .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&packet)), both, count * sizeof(int));
    }
    if (client->fd >= 0)
        sendmsg(client->fd, &packet, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* The right hello; with a key that is the proof, which `flip` spoils. */
static void say_hello(struct client *client, unsigned flip)
{
    struct weir__auth_key key = {.size = sizeof KEY};
    unsigned char mac[WEIR__MAC_SIZE];
    char nonce[WEIR__HEX(WEIR__NONCE_SIZE)], text[WEIR__HEX(WEIR__MAC_SIZE)], frame[300];

    if (door == 0) {
        send_frame(client, "{\"hello\":1}", 11, -1);
        return;
    }
    run(); /* the greeting */
    memcpy(key.bytes, KEY, sizeof KEY);
    memset(client->session.client_nonce, 7, WEIR__NONCE_SIZE);
    weir__auth_prove(mac, &key, &client->session,
                     flip == 1 ? WEIR__AUTH_SERVER : WEIR__AUTH_CLIENT);
    if (flip > 1)
        mac[flip % sizeof mac] ^= 1;
    weir__hex_write(nonce, client->session.client_nonce, WEIR__NONCE_SIZE);
    weir__hex_write(text, mac, sizeof mac);
    snprintf(frame, sizeof frame, "{\"hello\":1,\"nonce\":\"%s\",\"mac\":\"%s\"}", nonce, text);
    client->proved = client->proved || flip == 0;
    send_frame(client, frame, strlen(frame), -1);
}

/* ---- what is sent --------------------------------------------------------------------------- */

static int descriptor(unsigned which)
{
    int fd;

    switch (which % 8) {
    case 0:
    case 1:
    case 2: /* what a block is made of */
        fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        HOLD(fd >= 0 && ftruncate(fd, 1 + which) == 0);
        return fd;
    case 3:
        return open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    case 4:
        return open("/dev/shm/precious", O_RDWR | O_CLOEXEC);
    case 5:
        return open("/dev/null", O_RDWR | O_CLOEXEC);
    case 6:
        return memfd_create("fuzz", MFD_CLOEXEC);
    default:
        return dup(requests[door].scope_fd);
    }
}

/* Requests that make sense but for what the input has put into them. */
static size_t compose(struct fuzz_input *input, char *frame, size_t room)
{
    static const char *const forms[] = {"{\"make\":{\"kind\":\"%s\",\"name\":\"%s\"}}",
                                        "{\"make\":{\"name\":\"%2$s\"}}",
                                        "{\"make\":{\"kind\":\"%s\"}}",
                                        "{\"track\":{\"name\":\"%2$s\"}}",
                                        "{\"release\":{\"name\":\"%2$s\"}}",
                                        "{\"lookup\":{\"name\":\"%2$s\"}}",
                                        "{\"track\":{\"kind\":\"%s\",\"name\":\"%s\"}}"};
    static const char *const kinds[] = {"shm", "list", "array", "dict", "door", ""};
    static const char *const names[] = {"a", "b", "precious", "weir-x", "..", ""};
    unsigned form = (unsigned)fuzz_number(input, 1) % 9, kind = (unsigned)fuzz_number(input, 1),
             which = (unsigned)fuzz_number(input, 1);
    char name[200];
    const char *used = name;

    if (form > 6)
        return (size_t)snprintf(frame, room, "{\"list\":{\"from\":%lld}}",
                                (long long)(int32_t)fuzz_number(input, 4) * (form - 6));
    if (which % 8 < 6)
        used = names[which % 8];
    else {
        size_t size = which % sizeof name;

        fuzz_take(input, name, size);
        name[size] = '\0';
    }
    switch (form) {
    case 0:
    case 6:
        return (size_t)snprintf(frame, room, forms[form], kinds[kind % 6], used);
    case 2:
        return (size_t)snprintf(frame, room, "{\"make\":{\"kind\":\"%s\"}}", kinds[kind % 6]);
    default:
        return (size_t)snprintf(frame, room, "{\"%s\":{\"name\":\"%s\"}}",
                                form == 1   ? "make"
                                : form == 3 ? "track"
                                : form == 4 ? "release"
                                            : "lookup",
                                used);
    }
}

static void send_any(const struct client *client, struct fuzz_input *input, unsigned how)
{
    char frame[2048];
    size_t size;
    int passed = -1;

    if (how & 1) {
        size = (size_t)fuzz_number(input, 2) % sizeof frame;
        size = size < input->left ? size : input->left;
        fuzz_take(input, frame, size);
    } else {
        size = compose(input, frame, sizeof frame);
        size = size < sizeof frame ? size : sizeof frame;
    }
    if (how & 2)
        passed = descriptor((unsigned)fuzz_number(input, 1));
    send_frame(client, frame, size, passed);
    if (passed >= 0)
        close(passed);
}

static void step(struct fuzz_input *input)
{
    unsigned what = (unsigned)fuzz_number(input, 1);
    struct client *client = &clients[what >> 6];

    switch (what & 15) {
    case 0:
        dial(client);
        break;
    case 1:
        if (client->fd >= 0)
            close(client->fd);
        client->fd = -1;
        break;
    case 2:
        say_hello(client, 0);
        break;
    case 3:
        say_hello(client, (unsigned)fuzz_number(input, 1));
        break;
    case 4: /* dialled and known at once */
        dial(client);
        say_hello(client, 0);
        run();
        break;
    case 5:
        uv_run(&loop, UV_RUN_NOWAIT);
        break;
    default:
        send_any(client, input, what);
        break;
    }
    if (what & 16)
        run();
}

/* ---- afterwards ----------------------------------------------------------------------------- */

static json_t *ask(json_t *request)
{
    json_t *reply = weir__request_answer(&requests[door], request, -1, getpid());

    json_decref(request);
    HOLD(reply != NULL);
    return reply;
}

/* Everything that the scope has is what clients made: none of it is the other user's. */
static void release_all(void)
{
    json_int_t next = 0;
    json_t *block;
    size_t i;

    while (next >= 0) {
        json_t *page = ask(json_pack("{s:{s:I}}", "list", "from", next));
        json_t *blocks = json_object_get(page, "blocks");

        json_array_foreach(blocks, i, block)
        {
            const char *name = json_string_value(json_object_get(block, "name"));
            json_t *reply = ask(json_pack("{s:{s:s}}", "release", "name", name));

            HOLD(strcmp(name, "precious") != 0 && begins_with(reply, "released"));
            json_decref(reply);
        }
        next = json_integer_value(json_object_get(page, "next"));
        json_decref(page);
    }
}

static void check_all_gone(int files)
{
    struct weir__block_record record;
    size_t entry = WEIR__RECORD_CLIENTS;
    int left;

    for (int i = 0; i < CLIENTS; i++) {
        if (clients[i].fd >= 0)
            close(clients[i].fd);
        clients[i].fd = -1;
    }
    for (int i = 0; i < 100; i++) { /* those behind whom the door was closed wait to be accepted */
        uv_run(&loop, UV_RUN_NOWAIT);
        if (count_descriptors() == descriptors)
            break;
    }
    HOLD(count_descriptors() == descriptors);
    release_all();
    HOLD(count_entries("/dev/shm") == files);
    HOLD(inode_of("/dev/shm/precious") == precious);
    HOLD(requests[door].used == 0);
    left = weir__scope_file_read(requests[door].scope_fd, requests[door].id, &entry, NULL, &record);
    HOLD(left <= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    int files;

    if (descriptors == 0)
        prepare();
    door = (int)fuzz_number(&input, 1) & 1 && doors[1];
    files = count_entries("/dev/shm");
    for (int i = 0; i < STEPS && input.left > 0; i++)
        step(&input);
    run();
    check_all_gone(files);
    return 0;
}

/* ---- seeds ---------------------------------------------------------------------------------- */

static size_t add(uint8_t *bytes, size_t used, const void *data, size_t size)
{
    memcpy(bytes + used, data, size);
    return used + size;
}

/* A raw frame, with a descriptor or without. */
static size_t add_frame(uint8_t *bytes, size_t used, const char *text, int passed)
{
    uint8_t head[] = {(uint8_t)(passed >= 0 ? 16 | 7 : 16 | 9), (uint8_t)strlen(text), 0};

    used = add(bytes, used, head, 3);
    used = add(bytes, used, text, strlen(text));
    if (passed >= 0)
        bytes[used++] = (uint8_t)passed;
    return used;
}

void fuzz_seeds(const char *folder)
{
    static const char *const frames[] = {"{\"make\":{\"kind\":\"list\",\"name\":\"one\"}}",
                                         "{\"make\":{}}",
                                         "{\"lookup\":{\"name\":\"one\"}}",
                                         "{\"list\":{\"from\":0}}",
                                         "{\"release\":{\"name\":\"one\"}}",
                                         "{\"track\":{\"name\":\"two\"}}",
                                         "{\"end\":true}",
                                         "{\"listen\":\"/x\",\"key\":\"\"}"};
    uint8_t bytes[1024];
    char name[20];

    for (int with_key = 0; with_key < 2; with_key++) {
        size_t used = add(bytes, 0, (uint8_t[]){(uint8_t)with_key, 4}, 2);

        for (size_t i = 0; i < sizeof frames / sizeof *frames; i++)
            used = add_frame(bytes, used, frames[i], i < 2 ? (int)i : -1);
        snprintf(name, sizeof name, "talk-%d", with_key);
        fuzz_seed(folder, name, bytes, used);
        /* not said hello; a wrong hello; hello twice; gone in between; two at once */
        used = add(bytes, 0, (uint8_t[]){(uint8_t)with_key, 0, 16 | 5}, 3);
        used = add_frame(bytes, used, frames[3], -1);
        used = add(bytes, used, (uint8_t[]){0, 16 | 3, 9, 0, 16 | 2, 16 | 2, 1, 64, 64 | 16 | 2, 4},
                   10);
        for (uint8_t form = 0; form < 9; form++)
            used = add(bytes, used, (uint8_t[]){64 | 16 | 6, form, form, form, 0, 0, 0, 0}, 8);
        snprintf(name, sizeof name, "mixed-%d", with_key);
        fuzz_seed(folder, name, bytes, used);
    }
}
