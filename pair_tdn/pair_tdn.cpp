/* ----------------------------------------------------------------------
   LAMMPS verbs of pair_style tdn up to a run: settings, coefficients, checks.
   The verbs of a step are in pair_tdn_compute.cpp.
------------------------------------------------------------------------- */

#include "pair_tdn_impl.h"

#include "device.h"

#include "citeme.h"
#include "comm.h"
#include "domain.h"
#include "force.h"
#include "memory.h"
#include "neighbor.h"
#include "update.h"
#include "utils.h"

#include <ATen/Parallel.h>
#include <algorithm>
#include <cstring>
#ifdef __linux__
#include <malloc.h>    // mallopt of glibc
#endif

using namespace LAMMPS_NS;

/* large tensors come and go in every step: let malloc keep their pages instead of asking the
   system for zeroed ones each time, which cost up to half of the CPU time of a step */

static void keep_freed_pages()
{
#ifdef __GLIBC__
  static bool done = false;
  if (done) return;
  done = true;
  // Some versions refuse thresholds above half of their heaps.
  if (!mallopt(M_MMAP_THRESHOLD, 1 << 30)) mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 64 << 20);
#endif
}

/* ---------------------------------------------------------------------- */

PairTDN::PairTDN(LAMMPS *_lmp) : Pair(_lmp), impl(std::make_unique<Impl>(_lmp, this))
{
  single_enable = 0;
  restartinfo = 0;
  respa_enable = 0;
  one_coeff = 1;
  manybody_flag = 1;
  no_virial_fdotr_compute = 1;
  centroidstressflag = CENTROID_AVAIL;
  comm_forward = tdn::GhostExchange::CHUNK;    // pair hybrid reads them before pair_coeff
  comm_reverse = tdn::GhostExchange::CHUNK;
  keep_freed_pages();
}

/* ---------------------------------------------------------------------- */

PairTDN::~PairTDN()
{
  if (copymode) return;
  if (!allocated) return;
  memory->destroy(setflag);
  memory->destroy(cutsq);
}

/* pair_style tdn keyword value ... */

void PairTDN::settings(int narg, char **arg)
{
  impl->prepared = false;
  const std::vector<std::string> words(arg, arg + narg);
  guarded([&] { impl->options = tdn::Options(words); }, true);
  impl->evaluator.reset();    // device, precision or forces may have changed
}

/* pair_coeff * * file.tdn.pt El1 El2 ...
   nothing changes before all of it is known to work: an error may be caught, in Python */

void PairTDN::coeff(int narg, char **arg)
{
  impl->prepared = false;
  if (narg < 4)
    error->all(FLERR, "Pair style tdn: pair_coeff lacks the model file or its elements: write "
                      "pair_coeff * * file.tdn.pt element ... with one element per atom type");
  auto archive = read_archive(arg[2]);
  check_elements(archive, narg - 3, arg + 3);
  load_model(archive);
  impl->archive = std::move(archive);
  map_species(narg - 3, arg + 3);
  announce();
}

/* ---------------------------------------------------------------------- */

void PairTDN::allocate()
{
  allocated = 1;
  const int n = atom->ntypes + 1;
  memory->create(setflag, n, n, "pair:setflag");
  memory->create(cutsq, n, n, "pair:cutsq");
  for (int i = 1; i < n; i++)
    for (int j = i; j < n; j++) setflag[i][j] = 0;
  map = new int[n];    // freed by the base class
}

/* same text on every rank */

static void broadcast(std::string &text, MPI_Comm world)
{
  static constexpr long long PIECE = 1 << 30;    // MPI counts are int
  long long size = text.size();
  MPI_Bcast(&size, 1, MPI_LONG_LONG, 0, world);
  text.resize(size);
  for (long long begin = 0; begin < size; begin += PIECE)
    MPI_Bcast(&text[begin], static_cast<int>(std::min(PIECE, size - begin)), MPI_CHAR, 0, world);
}

/* rank 0 reads the file, every rank checks the same bytes */

tdn::ModelArchive PairTDN::read_archive(const char *name)
{
  std::string bytes, failure;
  if (comm->me == 0) {
    const std::string found = utils::get_potential_file_path(name);
    try {
      bytes = tdn::ModelArchive::read_bytes(found.empty() ? name : found);
    } catch (const tdn::Error &caught) {
      failure = caught.what();
    }
  }
  broadcast(failure, world);
  if (!failure.empty()) error->all(FLERR, "Pair style tdn: {}", failure);
  broadcast(bytes, world);
  std::optional<tdn::ModelArchive> archive;
  guarded([&] { archive.emplace(std::move(bytes), name); }, true);
  return std::move(*archive);
}

/* every name is an element of the model, or NULL where another style may take over */

void PairTDN::check_elements(const tdn::ModelArchive &archive, int n, char **names)
{
  const auto &model = archive.metadata();
  if (n != atom->ntypes)
    error->all(FLERR,
               "Pair style tdn: pair_coeff names {} elements but the simulation has {} atom types: "
               "name one element of {} (or NULL) per type",
               n, atom->ntypes, tdn::join(model.elements));
  int n_null = 0;
  for (int k = 0; k < n; k++) {
    if (strcmp(names[k], "NULL") == 0) n_null++;
    else if (model.species_of(names[k]) < 0)
      error->all(FLERR,
                 "Pair style tdn: model file '{}' was trained for {} but pair_coeff asks for "
                 "element {}: use a model that knows it",
                 archive.file(), tdn::join(model.elements), names[k]);
  }
  if (n_null > 0 && force->pair == this)
    error->all(FLERR,
               "Pair style tdn: pair_coeff leaves atom types without an element by NULL but there "
               "is no other pair style: name one element of {} per type or use pair_style hybrid",
               tdn::join(model.elements));
  if (n_null == n)
    error->all(FLERR,
               "Pair style tdn: pair_coeff names NULL for every atom type: name an element of {} "
               "for at least one",
               tdn::join(model.elements));
}

/* elements of pair_coeff -> model species; map_element2type() fills elements, map and setflag */

void PairTDN::map_species(int n, char **names)
{
  const auto &model = impl->metadata();
  if (!allocated) allocate();
  map_element2type(n, names);
  impl->species_of_type.assign(n + 1, -1);
  for (int type = 1; type <= n; type++)
    if (map[type] >= 0) impl->species_of_type[type] = model.species_of(elements[map[type]]);
}

/* number of this rank among those of its machine */

static int node_rank(MPI_Comm world)
{
  MPI_Comm node;
  int rank = 0;
  MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
  MPI_Comm_rank(node, &rank);
  MPI_Comm_free(&node);
  return rank;
}

/* ---------------------------------------------------------------------- */

void PairTDN::load_model(const tdn::ModelArchive &archive)
{
  auto &m = *impl;
  const int rank = node_rank(world);
  at::set_num_threads(comm->nthreads);
  guarded(
      [&] {
        const auto &model = archive.metadata();
        const auto forces = m.options.force_kind(model, archive.file());
        const auto device = tdn::choose_device(m.options.device, rank);
        const auto dtype = m.options.dtype(model);
        m.evaluator = tdn::Evaluator(archive.load(device, dtype), model, device, dtype);
        m.forces = forces;
      },
      true);
}

/* what runs, and what the user should know about it */

void PairTDN::announce()
{
  if (comm->me != 0) return;
  const auto &model = impl->metadata();
  const bool direct = impl->forces == tdn::ForceKind::DIRECT;
  utils::logmesg(
      lmp,
      "Pair style tdn {} with torch {}: model {} ({}), cutoff {} angstrom, {} layers, {} "
      "forces, {}, device {}\n",
      TDN_VERSION, tdn::loaded_torch_version(), model.model_name, tdn::join(model.elements),
      model.cutoff, model.n_layers(), direct ? "direct" : "gradient",
      impl->evaluator->dtype() == at::kFloat ? "float32" : "float64",
      impl->evaluator->device().str());
  const std::string facts = tdn::weaknesses(model);
  if (!facts.empty()) error->warning(FLERR, "Pair style tdn: model {} {}", model.model_name, facts);
  if (direct)
    error->warning(FLERR, "Pair style tdn: direct forces are not the gradient of an energy, so the "
                          "total energy is not conserved");
  if (lmp->citeme && !model.citation.empty())
    lmp->citeme->add("pair style tdn, model " + model.model_name + ":\n\n" + model.citation +
                     "\n\n");
}

/* called before every run */

void PairTDN::init_style()
{
  check_simulation();
  guarded([&] { impl->units = tdn::units_of(update->unit_style); }, true);
  if (!impl->archive)
    error->all(FLERR, "Pair style tdn: no model is loaded: write pair_coeff * * "
                      "file.tdn.pt element ... after pair_style");
  if (!impl->evaluator) {
    load_model(*impl->archive);
    announce();
  }
  auto &m = *impl;
  if (comm->mode == Comm::SINGLE && comm->cutghostuser > 0.0 && comm->cutghostuser < m.cutoff())
    error->all(FLERR,
               "Pair style tdn: comm_modify cutoff {} is below the model's cutoff {}: write "
               "comm_modify cutoff {} or leave it out",
               comm->cutghostuser, m.cutoff(), m.cutoff() + neighbor->skin);
  m.graph = tdn::NeighborGraph(m.metadata().cutoff, 1.0 / m.units.angstrom,
                               m.metadata().n_elements(), m.evaluator->dtype());
  m.stale = true;
  m.prepared = true;
  neighbor->add_request(this, NeighConst::REQ_FULL);
}

/* ---------------------------------------------------------------------- */

void PairTDN::check_simulation()
{
  if (force->newton_pair == 0)
    error->all(FLERR, "Pair style tdn: newton pair is off but forces on ghost atoms must be sent "
                      "back: write newton on before the box is made");
  if (atom->tag_enable == 0)
    error->all(FLERR, "Pair style tdn: atoms have no IDs: write atom_modify id yes");
  if (domain->dimension != 3)
    error->all(FLERR,
               "Pair style tdn: the model is three-dimensional but dimension is {}: write "
               "dimension 3",
               domain->dimension);
  // LAMMPS leaves out neighbors whose two weights are zero; with others they stay in the list
  for (int k = 1; k < 4; k++)
    if (atom->molecular != Atom::ATOMIC && atom->nbonds > 0 && force->special_lj[k] == 0.0 &&
        force->special_coul[k] == 0.0)
      error->all(
          FLERR,
          "Pair style tdn: special_bonds weights lj 0 and coul 0 of 1-{} neighbors hide them "
          "from the model: write special_bonds lj/coul 1 1 1",
          k + 1);
}

/* cutoff of a pair of types in LAMMPS units */

double PairTDN::init_one(int, int)
{
  return impl->cutoff();
}
