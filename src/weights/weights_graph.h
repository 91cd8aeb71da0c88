/* weights_graph.h: what the reader and the writer of weights files share. */
#ifndef HM_WEIGHTS_WEIGHTS_GRAPH_H
#define HM_WEIGHTS_WEIGHTS_GRAPH_H

#include "graph/graph.h"
#include "model/config.h"

/* A training graph of one image, for the list of its parameters; hm_graph_free. */
hm_status hm_weights_graph(hm_graph **out, const hm_model_config *c);

#endif
