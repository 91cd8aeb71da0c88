/* pickle.c: the machine of pickle.h: a stack, marks on it, a memo, and one short function an opcode or family. */
#include "io/pickle.h"

#include "base/little_endian.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum {
    BLOCK = 512, /* values */
    FIRST_PROTOCOL = 2,
    LAST_PROTOCOL = 5,
    MAX_BYTES = 1 << 26 /* of a pickle: stack, memo and containers take a few times as much at most */
};

typedef struct block {
    struct block *next;
    size_t n;
    hm_pickle_value values[BLOCK];
} block;

struct hm_pickle {
    block *blocks; /* newest first */
    size_t n_values;
    hm_pickle_value *root;
    hm_pickle_value **outside; /* [n_outside] */
    size_t n_outside, outside_cap;
};

typedef struct machine {
    hm_pickle *p;
    const char *path;
    const uint8_t *data, *at, *stop;
    hm_pickle_value **stack; /* [depth] */
    size_t depth, stack_cap;
    size_t *marks; /* [n_marks] depths of the stack */
    size_t n_marks, marks_cap;
    hm_pickle_value **memo; /* [memo_len], with gaps of NULL */
    size_t memo_len, memo_cap, n_puts;
    bool stopped;
} machine;

/* ---- messages ---- */

static hm_status broken(const machine *m, const char *what) {
    HM_FAIL(HM_ERR_FORMAT, "%s: its pickle is broken at byte %zu: %s; the file is damaged, or its copy was cut short",
            m->path, (size_t)(m->at - m->data), what);
}

static int shown(size_t len) {
    return len < 120 ? (int)len : 120;
}

static hm_status unknown_name(const machine *m, const char *module, size_t module_len, const char *name,
                              size_t name_len) {
    HM_FAIL(HM_ERR_UNSUPPORTED,
            "%s: its pickle names %.*s.%.*s, which no weights need; nothing was run. If you trust the file, load it in "
            "Python and save its state dict alone",
            m->path, shown(module_len), module, shown(name_len), name);
}

/* ---- input ---- */

/* *out = the next n bytes. */
static hm_status take(machine *m, size_t n, const uint8_t **out) {
    if (n > (size_t)(m->stop - m->at))
        return broken(m, "it ends too early");
    *out = m->at;
    m->at += n;
    return HM_OK;
}

/* Little-endian number of 1 to 8 bytes. */
static hm_status take_number(machine *m, int bytes, uint64_t *out) {
    const uint8_t *p = NULL;
    HM_TRY(take(m, (size_t)bytes, &p));
    *out = hm_little_read(p, bytes);
    return HM_OK;
}

/* Text that ends with a newline, which is not counted. */
static hm_status take_line(machine *m, const char **out, size_t *len) {
    const uint8_t *const end = memchr(m->at, '\n', (size_t)(m->stop - m->at));
    if (end == NULL)
        return broken(m, "a name does not end");
    *out = (const char *)m->at;
    *len = (size_t)(end - m->at);
    m->at = end + 1;
    return HM_OK;
}

/* ---- values ---- */

static hm_status new_value(machine *m, hm_pickle_kind kind, hm_pickle_value **out) {
    hm_pickle *const p = m->p;
    if (p->n_values >= HM_PICKLE_MOST)
        HM_FAIL(HM_ERR_UNSUPPORTED, "%s: its pickle has more than %d values, more than any checkpoint needs", m->path,
                HM_PICKLE_MOST);
    if (p->blocks == NULL || p->blocks->n == BLOCK) {
        block *fresh;
        HM_TRY(hm_alloc(&fresh, 1, sizeof *fresh));
        fresh->next = p->blocks;
        p->blocks = fresh;
    }
    *out = &p->blocks->values[p->blocks->n++];
    (*out)->kind = kind;
    p->n_values++;
    return HM_OK;
}

static hm_status push(machine *m, hm_pickle_value *v) {
    HM_TRY(hm_grow(&m->stack, &m->stack_cap, m->depth + 1, sizeof *m->stack));
    m->stack[m->depth++] = v;
    return HM_OK;
}

static hm_status push_new(machine *m, hm_pickle_kind kind, hm_pickle_value **out) {
    HM_TRY(new_value(m, kind, out));
    return push(m, *out);
}

/* What lies above the last mark is a sequence under construction: nothing below the mark can be popped. */
static size_t floor_of(const machine *m) {
    return m->n_marks > 0 ? m->marks[m->n_marks - 1] : 0;
}

static hm_status pop(machine *m, hm_pickle_value **out) {
    if (m->depth <= floor_of(m))
        return broken(m, "it takes a value from an empty stack");
    *out = m->stack[--m->depth];
    return HM_OK;
}

static hm_status peek(const machine *m, hm_pickle_value **out) {
    if (m->depth <= floor_of(m))
        return broken(m, "it uses a value of an empty stack");
    *out = m->stack[m->depth - 1];
    return HM_OK;
}

/* *first .. depth of the stack is what lies above the last mark, which is taken away. */
static hm_status pop_mark(machine *m, size_t *first) {
    if (m->n_marks == 0)
        return broken(m, "a mark is missing");
    *first = m->marks[--m->n_marks];
    return HM_OK;
}

/* Appends the stack's values from `first` on and pops them. */
static hm_status append(machine *m, hm_pickle_value *to, size_t first) {
    const size_t n = m->depth - first;
    HM_TRY(hm_grow(&to->items, &to->cap, to->n + n, sizeof *to->items));
    if (n > 0)
        memcpy(to->items + to->n, m->stack + first, n * sizeof *to->items);
    to->n += n;
    m->depth = first;
    return HM_OK;
}

/* ---- numbers and text ---- */

static hm_status push_integer(machine *m, int64_t x) {
    hm_pickle_value *v = NULL;
    HM_TRY(push_new(m, HM_PICKLE_INT, &v));
    v->integer = x;
    return HM_OK;
}

static hm_status op_int(machine *m, int bytes) {
    uint64_t x = 0;
    HM_TRY(take_number(m, bytes, &x));
    return push_integer(m, bytes == 4 ? (int32_t)(uint32_t)x : (int64_t)x);
}

static hm_status op_long(machine *m, int length_bytes) {
    uint64_t n = 0;
    const uint8_t *p = NULL;
    hm_pickle_value *v = NULL;
    HM_TRY(take_number(m, length_bytes, &n));
    HM_TRY(take(m, n, &p));
    if (n > 8) {
        HM_TRY(push_new(m, HM_PICKLE_LONG, &v));
        v->text = (const char *)p;
        v->len = n;
        return HM_OK;
    }
    uint64_t x = n > 0 && p[n - 1] & 0x80 ? UINT64_MAX : 0; /* the sign, extended */
    for (size_t i = n; i-- > 0;)
        x = x << 8 | p[i];
    return push_integer(m, (int64_t)x);
}

static hm_status op_float(machine *m) {
    const uint8_t *p = NULL;
    uint64_t bits = 0;
    hm_pickle_value *v = NULL;
    HM_TRY(take(m, 8, &p));
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | p[i];
    HM_TRY(push_new(m, HM_PICKLE_FLOAT, &v));
    memcpy(&v->real, &bits, sizeof v->real);
    return HM_OK;
}

/* Bytes of the UTF-8 letter at p, or 0. */
static size_t letter(const uint8_t *p, size_t left) {
    const size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    for (size_t i = 1; i < n; i++)
        if (i >= left || (p[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

static bool is_utf8(const uint8_t *p, size_t len) {
    while (len > 0) {
        const size_t n = letter(p, len);
        if (n == 0)
            return false;
        p += n;
        len -= n;
    }
    return true;
}

static hm_status op_text(machine *m, hm_pickle_kind kind, int length_bytes) {
    uint64_t n = 0;
    const uint8_t *p = NULL;
    hm_pickle_value *v = NULL;
    HM_TRY(take_number(m, length_bytes, &n));
    HM_TRY(take(m, n, &p));
    if (kind == HM_PICKLE_STRING && !is_utf8(p, n))
        return broken(m, "a string is not UTF-8");
    HM_TRY(push_new(m, kind, &v));
    v->text = (const char *)p;
    v->len = n;
    return HM_OK;
}

static hm_status push_truth(machine *m, bool truth) {
    hm_pickle_value *v = NULL;
    HM_TRY(push_new(m, HM_PICKLE_BOOL, &v));
    v->truth = truth;
    return HM_OK;
}

/* ---- containers ---- */

/* A new tuple, list or dict of what lies above the mark. */
static hm_status op_gather(machine *m, hm_pickle_kind kind) {
    size_t first = 0;
    hm_pickle_value *v = NULL;
    HM_TRY(pop_mark(m, &first));
    if (kind == HM_PICKLE_DICT && (m->depth - first) % 2 != 0)
        return broken(m, "a key has no value");
    HM_TRY(new_value(m, kind, &v));
    HM_TRY(append(m, v, first));
    return push(m, v);
}

static hm_status op_tuple(machine *m, size_t n) {
    hm_pickle_value *v = NULL;
    if (m->depth - floor_of(m) < n)
        return broken(m, "a tuple's items are missing");
    HM_TRY(new_value(m, HM_PICKLE_TUPLE, &v));
    HM_TRY(append(m, v, m->depth - n));
    return push(m, v);
}

/* Adds the stack's values from `first` on to the list or dict below them. */
static hm_status add_items(machine *m, hm_pickle_kind kind, size_t first) {
    if (first <= floor_of(m) || m->stack[first - 1]->kind != kind)
        return broken(m, kind == HM_PICKLE_LIST ? "it appends to what is no list" : "it sets a key of what is no dict");
    if (kind == HM_PICKLE_DICT && (m->depth - first) % 2 != 0)
        return broken(m, "a key has no value");
    return append(m, m->stack[first - 1], first);
}

static hm_status op_add_marked(machine *m, hm_pickle_kind kind) {
    size_t first = 0;
    HM_TRY(pop_mark(m, &first));
    return add_items(m, kind, first);
}

static hm_status op_add(machine *m, hm_pickle_kind kind, size_t n) {
    if (m->depth < n)
        return broken(m, "it takes a value from an empty stack");
    return add_items(m, kind, m->depth - n);
}

/* ---- the memo ---- */

/* Picklers number the memo from 0, or 1, without gaps; so a number far beyond is no pickler's. */
static hm_status put(machine *m, uint64_t i) {
    hm_pickle_value *v = NULL;
    HM_TRY(peek(m, &v));
    if (i > m->n_puts + 1)
        return broken(m, "its memo has a gap");
    HM_TRY(hm_grow(&m->memo, &m->memo_cap, i + 1, sizeof *m->memo));
    while (m->memo_len <= i)
        m->memo[m->memo_len++] = NULL;
    m->memo[i] = v;
    m->n_puts++;
    return HM_OK;
}

static hm_status op_put(machine *m, int bytes) {
    uint64_t i = 0;
    HM_TRY(take_number(m, bytes, &i));
    return put(m, i);
}

static hm_status op_get(machine *m, int bytes) {
    uint64_t i = 0;
    HM_TRY(take_number(m, bytes, &i));
    if (i >= m->memo_len || m->memo[i] == NULL)
        return broken(m, "it asks the memo for what it never put there");
    return push(m, m->memo[i]);
}

/* ---- names and objects ---- */

static hm_status push_name(machine *m, const char *module, size_t module_len, const char *name, size_t name_len) {
    hm_pickle_value *v = NULL;
    const hm_pickle_known *const known = hm_pickle_find_name(module, module_len, name, name_len);
    if (known == NULL)
        return unknown_name(m, module, module_len, name, name_len);
    HM_TRY(push_new(m, HM_PICKLE_NAME, &v));
    v->known = known;
    return HM_OK;
}

static hm_status op_global(machine *m) {
    const char *module = NULL, *name = NULL;
    size_t module_len = 0, name_len = 0;
    HM_TRY(take_line(m, &module, &module_len));
    HM_TRY(take_line(m, &name, &name_len));
    return push_name(m, module, module_len, name, name_len);
}

static hm_status op_stack_global(machine *m) {
    hm_pickle_value *module = NULL, *name = NULL;
    HM_TRY(pop(m, &name));
    HM_TRY(pop(m, &module));
    if (module->kind != HM_PICKLE_STRING || name->kind != HM_PICKLE_STRING)
        return broken(m, "a name is not a string");
    return push_name(m, module->text, module->len, name->text, name->len);
}

/* REDUCE, NEWOBJ: the name and its arguments become one value. */
static hm_status op_object(machine *m) {
    hm_pickle_value *arguments = NULL, *type = NULL, *v = NULL;
    HM_TRY(pop(m, &arguments));
    HM_TRY(pop(m, &type));
    if (arguments->kind != HM_PICKLE_TUPLE)
        return broken(m, "arguments are not a tuple");
    if (type->kind != HM_PICKLE_NAME)
        HM_FAIL(HM_ERR_UNSUPPORTED, "%s: its pickle calls something that is no class of weights; nothing was run",
                m->path);
    if (type->known->meaning == HM_MEANS_STORAGE)
        return unknown_name(m, "a call of torch", strlen("a call of torch"), type->known->name,
                            strlen(type->known->name));
    if (type->known->meaning == HM_MEANS_DICT)
        return arguments->n == 0 ? push_new(m, HM_PICKLE_DICT, &v) : broken(m, "an OrderedDict is made with arguments");
    HM_TRY(push_new(m, HM_PICKLE_OBJECT, &v));
    v->object.type = type->known;
    v->object.arguments = arguments;
    return HM_OK;
}

/* A dict's state is its attributes (a state dict's _metadata), which no weights need. */
static hm_status op_build(machine *m) {
    hm_pickle_value *state = NULL, *v = NULL;
    HM_TRY(pop(m, &state));
    HM_TRY(peek(m, &v));
    if (v->kind == HM_PICKLE_OBJECT)
        v->object.state = state;
    else if (v->kind != HM_PICKLE_DICT)
        return broken(m, "it gives a state to what has none");
    return HM_OK;
}

static hm_status op_outside(machine *m) {
    hm_pickle_value *inner = NULL, *v = NULL;
    HM_TRY(pop(m, &inner));
    HM_TRY(push_new(m, HM_PICKLE_OUTSIDE, &v));
    v->inner = inner;
    HM_TRY(hm_grow(&m->p->outside, &m->p->outside_cap, m->p->n_outside + 1, sizeof *m->p->outside));
    m->p->outside[m->p->n_outside++] = inner;
    return HM_OK;
}

/* ---- the rest ---- */

static hm_status op_protocol(machine *m) {
    uint64_t version = 0;
    HM_TRY(take_number(m, 1, &version));
    if (version < FIRST_PROTOCOL || version > LAST_PROTOCOL)
        HM_FAIL(HM_ERR_UNSUPPORTED, "%s: its pickle has protocol %llu; 2 to 5 are read", m->path,
                (unsigned long long)version);
    return HM_OK;
}

static hm_status op_frame(machine *m) {
    uint64_t n = 0;
    HM_TRY(take_number(m, 8, &n));
    return n <= (uint64_t)(m->stop - m->at) ? HM_OK : broken(m, "a frame is longer than the pickle");
}

static hm_status op_mark(machine *m) {
    HM_TRY(hm_grow(&m->marks, &m->marks_cap, m->n_marks + 1, sizeof *m->marks));
    m->marks[m->n_marks++] = m->depth;
    return HM_OK;
}

static hm_status op_pop(machine *m) {
    hm_pickle_value *v = NULL;
    size_t first = 0;
    if (m->n_marks > 0 && m->depth == floor_of(m)) /* the mark itself is on top */
        return pop_mark(m, &first);
    return pop(m, &v);
}

static hm_status op_pop_mark(machine *m) {
    return pop_mark(m, &m->depth);
}

static hm_status op_dup(machine *m) {
    hm_pickle_value *v = NULL;
    HM_TRY(peek(m, &v));
    return push(m, v);
}

static hm_status op_stop(machine *m) {
    m->stopped = true;
    return pop(m, &m->p->root);
}

static hm_status unknown_opcode(const machine *m, uint8_t code) {
    static const struct {
        uint8_t code;
        const char *name;
    } names[] = {{'i', "INST"},       {'o', "OBJ"},         {'P', "PERSID"},       {'I', "INT"},
                 {'L', "LONG"},       {'F', "FLOAT"},       {'S', "STRING"},       {'V', "UNICODE"},
                 {'p', "PUT"},        {'g', "GET"},         {0x82, "EXT1"},        {0x83, "EXT2"},
                 {0x84, "EXT4"},      {0x92, "NEWOBJ_EX"},  {0x8f, "EMPTY_SET"},   {0x90, "ADDITEMS"},
                 {0x91, "FROZENSET"}, {0x96, "BYTEARRAY8"}, {0x97, "NEXT_BUFFER"}, {0x98, "READONLY_BUFFER"}};
    const char *name = "unknown";
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].code == code)
            name = names[i].name;
    HM_FAIL(
        HM_ERR_UNSUPPORTED,
        "%s: its pickle has the opcode 0x%02x (%s) at byte %zu, which PyTorch writes for no weights; nothing was run",
        m->path, code, name, (size_t)(m->at - m->data) - 1);
}

static hm_status run_scalar(machine *m, uint8_t code, bool *known) {
    hm_pickle_value *v = NULL;
    switch (code) {
    case 'N':
        return push_new(m, HM_PICKLE_NONE, &v);
    case 0x88:
    case 0x89:
        return push_truth(m, code == 0x88);
    case 'J':
        return op_int(m, 4);
    case 'K':
        return op_int(m, 1);
    case 'M':
        return op_int(m, 2);
    case 0x8a:
        return op_long(m, 1);
    case 0x8b:
        return op_long(m, 4);
    case 'G':
        return op_float(m);
    case 'X':
    case 'T': /* Python 2's str */
        return op_text(m, HM_PICKLE_STRING, 4);
    case 0x8c:
    case 'U':
        return op_text(m, HM_PICKLE_STRING, 1);
    case 0x8d:
        return op_text(m, HM_PICKLE_STRING, 8);
    case 'B':
        return op_text(m, HM_PICKLE_BYTES, 4);
    case 'C':
        return op_text(m, HM_PICKLE_BYTES, 1);
    case 0x8e:
        return op_text(m, HM_PICKLE_BYTES, 8);
    default:
        *known = false;
        return HM_OK;
    }
}

static hm_status run_container(machine *m, uint8_t code, bool *known) {
    hm_pickle_value *v = NULL;
    switch (code) {
    case ')':
        return push_new(m, HM_PICKLE_TUPLE, &v);
    case ']':
        return push_new(m, HM_PICKLE_LIST, &v);
    case '}':
        return push_new(m, HM_PICKLE_DICT, &v);
    case 't':
        return op_gather(m, HM_PICKLE_TUPLE);
    case 'l':
        return op_gather(m, HM_PICKLE_LIST);
    case 'd':
        return op_gather(m, HM_PICKLE_DICT);
    case 0x85:
    case 0x86:
    case 0x87:
        return op_tuple(m, (size_t)code - 0x84);
    case 'a':
        return op_add(m, HM_PICKLE_LIST, 1);
    case 'e':
        return op_add_marked(m, HM_PICKLE_LIST);
    case 's':
        return op_add(m, HM_PICKLE_DICT, 2);
    case 'u':
        return op_add_marked(m, HM_PICKLE_DICT);
    default:
        *known = false;
        return HM_OK;
    }
}

static hm_status run_other(machine *m, uint8_t code) {
    switch (code) {
    case 0x80:
        return op_protocol(m);
    case 0x95:
        return op_frame(m);
    case '(':
        return op_mark(m);
    case '0':
        return op_pop(m);
    case '1':
        return op_pop_mark(m);
    case '2':
        return op_dup(m);
    case 'q':
        return op_put(m, 1);
    case 'r':
        return op_put(m, 4);
    case 0x94:
        return put(m, m->n_puts);
    case 'h':
        return op_get(m, 1);
    case 'j':
        return op_get(m, 4);
    case 'c':
        return op_global(m);
    case 0x93:
        return op_stack_global(m);
    case 'R':
    case 0x81:
        return op_object(m);
    case 'b':
        return op_build(m);
    case 'Q':
        return op_outside(m);
    case '.':
        return op_stop(m);
    default:
        return unknown_opcode(m, code);
    }
}

static hm_status run(machine *m) {
    while (!m->stopped) {
        const uint8_t *code = NULL;
        bool known = true;
        HM_TRY(take(m, 1, &code));
        hm_status st = run_scalar(m, *code, &known);
        if (!known) {
            known = true;
            st = run_container(m, *code, &known);
        }
        if (!known)
            st = run_other(m, *code);
        HM_TRY(st);
    }
    return HM_OK;
}

hm_status hm_pickle_read(hm_pickle **out, const char *path, const void *data, size_t len, size_t *used) {
    machine m = {.path = path, .data = data, .at = data};
    *out = NULL;
    m.stop = m.data + (len < MAX_BYTES ? len : MAX_BYTES);
    HM_TRY(hm_alloc(&m.p, 1, sizeof *m.p));
    hm_status st = len > 0 && m.data[0] == 0x80 ? run(&m) : broken(&m, "it does not begin with a protocol's number");
    free(m.stack);
    free(m.marks);
    free(m.memo);
    if (st != HM_OK) {
        hm_pickle_free(m.p);
        return st;
    }
    *out = m.p;
    *used = (size_t)(m.at - m.data);
    return HM_OK;
}

void hm_pickle_free(hm_pickle *p) {
    if (p == NULL)
        return;
    while (p->blocks != NULL) {
        block *const b = p->blocks;
        for (size_t i = 0; i < b->n; i++)
            if (b->values[i].kind >= HM_PICKLE_TUPLE && b->values[i].kind <= HM_PICKLE_DICT)
                free(b->values[i].items);
        p->blocks = b->next;
        free(b);
    }
    free(p->outside);
    free(p);
}

const hm_pickle_value *hm_pickle_root(const hm_pickle *p) {
    return p->root;
}

const hm_pickle_value *hm_pickle_outside(const hm_pickle *p, size_t i) {
    return i < p->n_outside ? p->outside[i] : NULL;
}

bool hm_pickle_is(const hm_pickle_value *v, const char *text) {
    return v != NULL && v->kind == HM_PICKLE_STRING && v->len == strlen(text) && memcmp(v->text, text, v->len) == 0;
}

const hm_pickle_value *hm_pickle_get(const hm_pickle_value *v, const char *key) {
    const hm_pickle_value *found = NULL;
    if (v != NULL && v->kind == HM_PICKLE_OBJECT && v->object.type->meaning == HM_MEANS_NAMESPACE)
        v = v->object.state;
    if (v == NULL || v->kind != HM_PICKLE_DICT)
        return NULL;
    for (size_t i = 0; i + 1 < v->n; i += 2)
        if (hm_pickle_is(v->items[i], key))
            found = v->items[i + 1];
    return found;
}
