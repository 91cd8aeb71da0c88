/* dump.c: the graph as text and as Graphviz. */
#include <stdio.h>

#include "graph/op.h"

static const char *storage_name(hm_storage s) {
    static const char *const name[] = {
        [HM_TEMP] = "temp", [HM_INPUT] = "input", [HM_PARAM] = "param", [HM_STATE] = "state"};
    return name[s];
}

void hm_graph_dump_text(const hm_graph *g, void *file) {
    char buf[96];
    for (size_t i = 0; i < g->n_tensors; i++) {
        const hm_tensor *const t = g->tensors[i];
        if (t->producer == NULL)
            fprintf(file, "%-6s %s %s %s\n", storage_name(t->storage), t->name, hm_dtype_name(t->dtype),
                    hm_shape_text(t->shape, buf));
    }
    for (size_t k = 0; k < g->n_nodes; k++) {
        const hm_node *const n = g->nodes[k];
        fprintf(file, "%5d %s %-18s %s:", n->id, n->backward ? "<-" : "->", n->op->name, n->scope);
        for (int i = 0; i < n->n_in; i++)
            fprintf(file, " %s", n->in[i] != NULL ? n->in[i]->name : "-");
        fprintf(file, " =>");
        for (int o = 0; o < n->n_out; o++)
            fprintf(file, " %s %s%s", hm_dtype_name(n->out[o]->dtype), hm_shape_text(n->out[o]->shape, buf),
                    n->out[o]->keep ? " (kept)" : "");
        fputc('\n', file);
    }
}

void hm_graph_dump_dot(const hm_graph *g, void *file) {
    char buf[96];
    fprintf(file, "digraph halfmask {\n  rankdir=TB; node [shape=box, fontname=Helvetica];\n");
    for (size_t k = 0; k < g->n_nodes; k++) {
        const hm_node *const n = g->nodes[k];
        fprintf(file, "  n%d [label=\"%s\\n%s\\n%s\"%s];\n", n->id, n->op->name, n->scope,
                n->n_out > 0 ? hm_shape_text(n->out[0]->shape, buf) : "", n->backward ? ", style=dashed" : "");
        for (int i = 0; i < n->n_in; i++) {
            const hm_tensor *const t = n->in[i];
            if (t == NULL)
                continue;
            if (t->producer != NULL)
                fprintf(file, "  n%d -> n%d [label=\"%s\"];\n", t->producer->id, n->id, hm_dtype_name(t->dtype));
            else
                fprintf(file, "  \"%s\" [shape=ellipse];\n  \"%s\" -> n%d;\n", t->name, t->name, n->id);
        }
    }
    fprintf(file, "}\n");
}
