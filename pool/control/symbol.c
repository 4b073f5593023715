/* SPDX-License-Identifier: MIT
 *
 * symbol.c: which function or variable an address of this process is in.
 *
 * dladdr() knows exported functions alone, and takes a lock of the loader's. This reads what a
 * debugger would: the file that is mapped there (/proc/self/maps), and in it the table of symbols,
 * which has static functions too unless the file was stripped; then the table is looked for in the
 * file's debug information, where distributions put it (by build-id).
 *
 * It is for a crashed process: no memory is allocated, no lock is taken, and files are read with
 * pread(), not mapped, as a file that shrinks must not be a second crash. What a file says is only
 * used as a place to read from, so a damaged one leads to no name or a wrong one.
 */
#include "pool/control/symbol.h"

#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "pool/control/maps.h"

#include "pool/control/no_malloc.h"

#define DEBUG_FOLDER "/usr/lib/debug/.build-id/"
#define DEBUG_ENDING ".debug"
#define BUILD_ID_MAX 64 /* bytes */

/* The type is in the lower four bits for both widths. */
#define SYMBOL_TYPE(info) ((info)&0xf)

/* ---- the file ------------------------------------------------------------------------------- */

static bool read_at(int fd, uintptr_t offset, void *out, size_t size)
{
    return pread(fd, out, size, (off_t)offset) == (ssize_t)size;
}

static int open_elf(const char *path, ElfW(Ehdr) * header)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return -1;
    if (read_at(fd, 0, header, sizeof(*header)) && memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 &&
        header->e_ident[EI_CLASS] == (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) &&
        header->e_phentsize == sizeof(ElfW(Phdr)))
        return fd;
    close(fd);
    return -1;
}

/* Where the bytes at this offset of the file are in the addresses of its symbols. */
static bool find_address(int fd, const ElfW(Ehdr) * header, uintptr_t offset, uintptr_t *out)
{
    for (unsigned i = 0; i < header->e_phnum; i++) {
        ElfW(Phdr) part;

        if (!read_at(fd, header->e_phoff + i * sizeof(part), &part, sizeof(part)))
            return false;
        if (part.p_type != PT_LOAD || offset < part.p_offset ||
            offset - part.p_offset >= part.p_filesz)
            continue;
        *out = offset - part.p_offset + part.p_vaddr;
        return true;
    }
    return false;
}

/* What was found last: `name` is a place in the file; 0: none. */
struct match {
    uintptr_t value, size, name;
    bool variable; /* not a function is looked for */
};

static bool is_wanted(unsigned type, const struct match *match)
{
    return match->variable ? type == STT_OBJECT : type == STT_FUNC || type == STT_GNU_IFUNC;
}

static void match_symbol(const ElfW(Sym) * symbol, uintptr_t address, uintptr_t names,
                         struct match *match)
{
    if (!is_wanted(SYMBOL_TYPE(symbol->st_info), match) || symbol->st_shndx == SHN_UNDEF ||
        symbol->st_value > address || (match->name != 0 && symbol->st_value <= match->value) ||
        (symbol->st_size > 0 && address - symbol->st_value >= symbol->st_size))
        return;
    match->value = symbol->st_value;
    match->size = symbol->st_size;
    match->name = names + symbol->st_name;
}

static void search_table(int fd, const ElfW(Shdr) * table, uintptr_t names, uintptr_t address,
                         struct match *match)
{
    ElfW(Sym) symbols[128];
    uintptr_t at = 0;
    ssize_t got;

    while (at < table->sh_size) {
        size_t size = table->sh_size - at < sizeof(symbols) ? table->sh_size - at : sizeof(symbols);

        got = pread(fd, symbols, size, (off_t)(table->sh_offset + at));
        if (got < (ssize_t)sizeof(symbols[0]))
            return;
        for (size_t i = 0; i < (size_t)got / sizeof(symbols[0]); i++)
            match_symbol(&symbols[i], address, names, match);
        at += (size_t)got / sizeof(symbols[0]) * sizeof(symbols[0]);
    }
}

/* Whether the file has a table of all symbols, and not only of those that it exports. */
static bool search_file(int fd, const ElfW(Ehdr) * header, uintptr_t address, struct match *match)
{
    bool all = false;

    for (unsigned i = 0; i < header->e_shnum && header->e_shentsize == sizeof(ElfW(Shdr)); i++) {
        ElfW(Shdr) table, names;

        if (!read_at(fd, header->e_shoff + i * sizeof(table), &table, sizeof(table)) ||
            (table.sh_type != SHT_SYMTAB && table.sh_type != SHT_DYNSYM) ||
            table.sh_entsize != sizeof(ElfW(Sym)) ||
            !read_at(fd, header->e_shoff + table.sh_link * sizeof(names), &names, sizeof(names)))
            continue;
        all |= table.sh_type == SHT_SYMTAB;
        search_table(fd, &table, names.sh_offset, address, match);
    }
    return all;
}

static void take_name(int fd, const struct match *match, uintptr_t address,
                      struct weir__symbol *out)
{
    ssize_t got = pread(fd, out->name, sizeof(out->name) - 1, (off_t)match->name);

    out->name[got > 0 ? got : 0] = '\0';
    for (char *at = out->name; *at != '\0'; at++) {
        if (*at <= ' ' || *at == 0x7f)
            *at = '?';
    }
    out->offset = address - match->value;
    out->size = match->size;
}

/* ---- its debug information ------------------------------------------------------------------ */

/* Appends two digits for each byte. */
static size_t put_bytes(char *out, const unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        out[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[bytes[i] & 0xf];
    }
    return 2 * size;
}

/* The path for a build-id: its first byte is a folder. */
static void put_debug_path(char *out, const unsigned char *id, size_t size)
{
    size_t used = sizeof(DEBUG_FOLDER) - 1;

    memcpy(out, DEBUG_FOLDER, used);
    used += put_bytes(out + used, id, 1);
    out[used++] = '/';
    used += put_bytes(out + used, id + 1, size - 1);
    memcpy(out + used, DEBUG_ENDING, sizeof(DEBUG_ENDING));
}

/* Looks through one part of notes: each is a header, a name and bytes, the latter two padded. */
static bool find_build_id(int fd, const ElfW(Phdr) * part, char *path)
{
    uintptr_t at = part->p_offset, end = part->p_offset + part->p_filesz;
    unsigned char id[BUILD_ID_MAX];
    ElfW(Nhdr) note;
    char name[4];

    while (at + sizeof(note) <= end && read_at(fd, at, &note, sizeof(note))) {
        uintptr_t bytes = at + sizeof(note) + ((note.n_namesz + 3U) & ~3U);

        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof(name) && note.n_descsz > 1 &&
            note.n_descsz <= sizeof(id) && read_at(fd, at + sizeof(note), name, sizeof(name)) &&
            memcmp(name, "GNU", sizeof(name)) == 0 && read_at(fd, bytes, id, note.n_descsz)) {
            put_debug_path(path, id, note.n_descsz);
            return true;
        }
        if (note.n_descsz > part->p_filesz || note.n_namesz > part->p_filesz)
            return false;
        at = bytes + ((note.n_descsz + 3U) & ~3U);
    }
    return false;
}

static int open_debug_file(int fd, const ElfW(Ehdr) * header, ElfW(Ehdr) * out)
{
    char path[sizeof(DEBUG_FOLDER) + 2 * BUILD_ID_MAX + 1 + sizeof(DEBUG_ENDING)];

    for (unsigned i = 0; i < header->e_phnum; i++) {
        ElfW(Phdr) part;

        if (!read_at(fd, header->e_phoff + i * sizeof(part), &part, sizeof(part)))
            return -1;
        if (part.p_type == PT_NOTE && find_build_id(fd, &part, path))
            return open_elf(path, out);
    }
    return -1;
}

/* ---- all together --------------------------------------------------------------------------- */

static void find_symbol(int fd, const ElfW(Ehdr) * header, unsigned back, bool variable,
                        struct weir__symbol *out)
{
    struct match match = {.variable = variable}, in_debug_file = {.variable = variable};
    const uintptr_t address = out->in_file - back;
    ElfW(Ehdr) debug_header;
    int debug_fd;

    if (!search_file(fd, header, address, &match) &&
        (debug_fd = open_debug_file(fd, header, &debug_header)) >= 0) {
        search_file(debug_fd, &debug_header, address, &in_debug_file);
        if (in_debug_file.name != 0)
            take_name(debug_fd, &in_debug_file, out->in_file, out);
        close(debug_fd);
    }
    if (out->name[0] == '\0' && match.name != 0)
        take_name(fd, &match, out->in_file, out);
}

void weir__symbol_find(uintptr_t address, unsigned back, struct weir__symbol *out)
{
    struct weir__mapped mapped;
    ElfW(Ehdr) header;
    int fd;

    *out = (struct weir__symbol){0};
    if (!weir__mapped_at(address - back, &mapped) || mapped.file[0] == '\0')
        return;
    memcpy(out->file, mapped.file, sizeof(out->file));
    fd = open_elf(out->file, &header);
    if (fd < 0)
        return;
    if (find_address(fd, &header, address - back - mapped.start + mapped.offset, &out->in_file)) {
        out->in_file += back;
        find_symbol(fd, &header, back, false, out);
    }
    close(fd);
}

bool weir__symbol_variable(const char *file, uintptr_t in_file, struct weir__symbol *out)
{
    ElfW(Ehdr) header;
    int fd = open_elf(file, &header);

    *out = (struct weir__symbol){.in_file = in_file};
    if (fd < 0)
        return false;
    find_symbol(fd, &header, 0, true, out);
    close(fd);
    return out->name[0] != '\0' && out->offset < out->size;
}
