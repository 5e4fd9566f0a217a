/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fuzz target behind a plain main: what broke once must not break again, on machines without libFuzzer too.
 *
 *     replay_onnx [--damage N] FILE-OR-FOLDER...
 *
 * Runs the target on every file as it is, then on N damaged copies of it: cut short, single bits turned over, bytes
 * replaced by extreme ones. The damage depends on the file's bytes and N alone. A crash of the target is the failure;
 * finding no file at all is one, too.
 */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

static size_t n_files, n_inputs;

/** libFuzzer's own mutator: fuzz_nw.c refers to it, nothing here calls it. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size)
{
    (void)data;
    return size < max_size ? size : max_size;
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/** Runs the target on a block of exactly this size, so that a sanitizer sees the first byte read beyond it. */
static void run(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + !size);
    if (!copy)
        abort();
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    n_inputs++;
}

static void run_damaged(const uint8_t *data, size_t size, uint64_t *random)
{
    static const uint8_t extreme[] = {0x00, 0x7f, 0x80, 0xff};
    uint8_t *copy = malloc(size);
    if (!copy)
        abort();
    memcpy(copy, data, size);
    const uint64_t kind = next_random(random) % 4;
    if (kind == 0)
        size = next_random(random) % size;
    /* Headers stand in front: half of the damage goes there. */
    const size_t reach = kind % 2 && size > 2000 ? 2000 : size;
    for (uint64_t n = kind ? 1 + next_random(random) % 4 : 0; n; n--) {
        const size_t at = next_random(random) % reach;
        if (kind == 1)
            copy[at] ^= (uint8_t)(1u << next_random(random) % 8);
        else
            copy[at] = extreme[next_random(random) % 4];
    }
    run(copy, size);
    free(copy);
}

static void replay_file(const char *path, size_t damage)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    size_t size = 0, room = 0, got = 1;
    while (file && got) {
        if (size == room)
            data = realloc(data, room = 2 * room + 4096);
        if (!data)
            abort();
        got = fread(data + size, 1, room - size, file);
        size += got;
    }
    if (!file || ferror(file)) {
        perror(path);
        exit(1);
    }
    fclose(file);
    n_files++;
    run(data, size);
    uint64_t random = size;
    for (size_t i = 0; size && i < damage; i++)
        run_damaged(data, size, &random);
    free(data);
}

static void replay(const char *path, size_t damage)
{
    struct stat about;
    if (stat(path, &about)) {
        perror(path);
        exit(1);
    }
    if (!S_ISDIR(about.st_mode)) {
        replay_file(path, damage);
        return;
    }
    struct dirent **entries;
    const int n = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char *name = malloc(strlen(path) + strlen(entries[i]->d_name) + 2);
        if (!name)
            abort();
        sprintf(name, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.')
            replay(name, damage);
        free(name);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
}

int main(int argc, char **argv)
{
    size_t damage = 0;
    int first = 1;
    if (argc > 2 && !strcmp(argv[1], "--damage")) {
        damage = strtoul(argv[2], NULL, 10);
        first = 3;
    }
    for (int i = first; i < argc; i++)
        replay(argv[i], damage);
    printf("%zu files, %zu inputs\n", n_files, n_inputs);
    return n_files ? 0 : 1;
}
