"""What ROOT's interpreter compiles for us: loops over entries, and what PyROOT cannot reach.

Python takes over a microsecond per value that `TBranch::Fill` is called for; ROOT's interpreter compiles the loop in
a few milliseconds, after which compression is what costs.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from ntupleml.errors import NtuplemlError
from ntupleml.imports import import_root
from ntupleml.ntuples.opening import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

_CODE = r"""
#include <cstring>
#include <memory>
#include <sstream>
#include <string>
#include <unordered_set>
#include <vector>
#include <TBasket.h>
#include <TBranchElement.h>
#include <TFile.h>
#include <TKey.h>
#include <TLeaf.h>
#include <TStreamerInfo.h>
#include <TTree.h>
namespace ntupleml {
std::string first_error;
ErrorHandlerFunc_t previous_handler = nullptr;

void collect(int level, Bool_t abort, const char *location, const char *message) {
   if (abort) DefaultErrorHandler(level, abort, location, message);
   if (level >= kError && first_error.empty()) first_error = std::string(location) + ": " + message;
}
void begin_collecting() { first_error.clear(); previous_handler = SetErrorHandler(collect); }
void end_collecting() { SetErrorHandler(previous_handler); }

/// A file that keeps its descriptions of classes as they are. ROOT writes them anew, from what it has loaded: it leaves
/// some out, and describes a class as another file did that it met before.
class ExtendedFile : public TFile {
   std::unique_ptr<TList> fDescriptions;

   bool IsDescribed(TStreamerInfo *info) const {
      for (TObject *object : *fDescriptions) {
         auto old = dynamic_cast<TStreamerInfo *>(object);  // one of the list may be a list of rules
         if (old && !std::strcmp(old->GetName(), info->GetName()) &&
             (old->GetClassVersion() == std::abs(info->GetClassVersion()) || old->GetCheckSum() == info->GetCheckSum()))
            return true;
      }
      return false;
   }

public:
   explicit ExtendedFile(const char *path) : TFile(path, "UPDATE") {
      if (!IsZombie()) fDescriptions.reset(GetStreamerInfoList());
      if (!fDescriptions) fDescriptions = std::make_unique<TList>();
      fDescriptions->SetOwner();
   }

   void WriteStreamerInfo() override {
      if (!fWritable || !fClassIndex || fClassIndex->fArray[0] == 0) return;
      TList list;
      list.AddAll(fDescriptions.get());
      for (TObject *object : *gROOT->GetListOfStreamerInfo()) {
         auto info = static_cast<TStreamerInfo *>(object);
         if (fClassIndex->fArray[info->GetNumber()] && !IsDescribed(info)) list.Add(info);
      }
      if (list.GetSize() > fDescriptions->GetSize()) {
         fClassIndex->fArray[0] = 2;  // what writing this list takes needs no description
         const auto compress = fCompress;
         fCompress = 1;
         TDirectory::TContext context(this);
         if (fSeekInfo) MakeFree(fSeekInfo, fSeekInfo + fNbytesInfo - 1);
         TKey key(&list, "StreamerInfo", GetBestBuffer(), this);
         fKeys->Remove(&key);
         fSeekInfo = key.GetSeekKey();
         fNbytesInfo = key.GetNbytes();
         SumBuffer(key.GetObjlen());
         key.WriteFile(0);
         fCompress = compress;
      }
      fClassIndex->fArray[0] = 0;
   }
};

/// Let ROOT keep the baskets that lie in a tree's header. It takes those for baskets on disk that have a size in the
/// branch's table, which some old versions left there.
void keep_embedded_baskets(TObjArray *branches) {
   for (TObject *object : *branches) {
      auto branch = static_cast<TBranch *>(object);
      auto baskets = branch->GetListOfBaskets();
      for (Int_t i = 0; i <= branch->GetWriteBasket() && i < baskets->GetSize(); ++i)
         if (branch->GetBasketSeek(i) == 0 && baskets->UncheckedAt(i)) branch->GetBasketBytes()[i] = 0;
      keep_embedded_baskets(branch->GetListOfBranches());
   }
}

void describe_basket(std::ostream &out, TBasket *basket) {
   const Int_t head = basket->GetKeylen(), size = basket->GetLast() - head;
   out << " {" << basket->GetNevBuf() << ' ' << size;
   if (size > 0 && basket->GetBufferRef()) out << ' ' << TString::Hash(basket->GetBufferRef()->Buffer() + head, size);
   if (const Int_t *offsets = basket->GetEntryOffset())
      for (Int_t i = 0; i < basket->GetNevBuf(); ++i) out << ' ' << offsets[i] - head;
   out << '}';
}

/// What decides how the entries of a branch are read, and the entries themselves that lie in the tree's header.
std::string description(TBranch *branch) {
   std::ostringstream out;
   out << branch->ClassName() << ' ' << branch->GetName() << ' ' << branch->GetTitle() << ' ' << branch->GetEntries()
       << ' ' << branch->GetEntryOffsetLen() << ' ' << branch->GetFileName();
   auto baskets = branch->GetListOfBaskets();
   for (Int_t i = 0; i <= branch->GetWriteBasket(); ++i) {
      const auto seek = branch->GetBasketSeek(i);
      const auto bytes = seek ? branch->GetBasketBytes()[i] : 0;
      out << " (" << branch->GetBasketEntry()[i] << ' ' << seek << ' ' << bytes << ')';
      if (seek == 0 && i < baskets->GetSize() && baskets->UncheckedAt(i))
         describe_basket(out, static_cast<TBasket *>(baskets->UncheckedAt(i)));
   }
   if (auto element = dynamic_cast<TBranchElement *>(branch)) {
      out << ' ' << element->GetClassName() << ' ' << element->GetParentName() << ' ' << element->GetClonesName() << ' '
          << element->GetCheckSum() << ' ' << element->GetClassVersion() << ' ' << element->GetID() << ' '
          << element->GetType() << ' ' << element->GetStreamerType() << ' ' << element->GetMaximum();
      for (auto count : {element->GetBranchCount(), element->GetBranchCount2()})
         out << ' ' << (count ? count->GetName() : "-");
   }
   for (TObject *object : *branch->GetListOfLeaves()) {
      auto leaf = static_cast<TLeaf *>(object);
      auto count = leaf->GetLeafCount();
      out << " [" << leaf->ClassName() << ' ' << leaf->GetName() << ' ' << leaf->GetTitle() << ' '
          << leaf->GetLenStatic() << ' ' << leaf->GetLenType() << ' ' << leaf->GetOffset() << ' ' << leaf->IsRange()
          << ' ' << leaf->IsUnsigned() << ' ' << (count ? count->GetName() : "-") << ']';
   }
   for (TObject *object : *branch->GetListOfBranches()) out << '\n' << description(static_cast<TBranch *>(object));
   return out.str();
}

/// Name and hash, since the text grows with the number of baskets.
std::string fingerprint(TBranch *branch) {
   return branch->GetName() + (' ' + std::to_string(std::hash<std::string>()(description(branch))));
}

/// Fill a branch of one number; number of entries filled before the first failure.
Long64_t fill(TBranch *branch, const void *values, Long64_t entries, Int_t size) {
   char *slot = branch->GetAddress();
   const char *value = static_cast<const char *>(values);
   for (Long64_t entry = 0; entry < entries; ++entry, value += size) {
      memcpy(slot, value, size);
      if (branch->Fill() < 0) return entry;
   }
   return entries;
}

/// A new branch of vectors, and the vector that is filled into it.
template <typename T>
struct VectorBranch {
   std::vector<T> slot;
   TBranch *branch;

   VectorBranch(TTree *tree, const char *name, Int_t basket_size) : branch(tree->Branch(name, &slot, basket_size, 0)) {}

   /// Number of entries filled before the first failure; the content of all lies in one piece.
   Long64_t fill(const void *content, const void *counts, Long64_t entries) {
      const T *value = static_cast<const T *>(content);
      const Long64_t *count = static_cast<const Long64_t *>(counts);
      for (Long64_t entry = 0; entry < entries; value += count[entry++]) {
         slot.assign(value, value + count[entry]);
         if (branch->Fill() < 0) return entry;
      }
      return entries;
   }
};

void add_baskets(TObjArray *branches, std::unordered_set<Long64_t> &seeks) {
   for (TObject *object : *branches) {
      auto branch = static_cast<TBranch *>(object);
      for (Int_t basket = 0; basket <= branch->GetWriteBasket(); ++basket) seeks.insert(branch->GetBasketSeek(basket));
      add_baskets(branch->GetListOfBranches(), seeks);
   }
}
/// Whether a tree uses any basket of a branch.
bool uses_baskets(TTree *tree, TBranch *branch) {
   std::unordered_set<Long64_t> seeks;
   add_baskets(tree->GetListOfBranches(), seeks);
   for (Int_t basket = 0; basket < branch->GetWriteBasket(); ++basket)
      if (branch->GetBasketSeek(basket) && seeks.count(branch->GetBasketSeek(basket))) return true;
   return false;
}
}
"""


@cache
def compiled() -> Any:
    """The compiled functions, in ROOT's namespace `ntupleml`.

    Raises
    ------
    NtuplemlError
        If ROOT is not installed.
    """
    root = import_root()
    root.gSystem.Load("libTree")  # what is declared is linked with the libraries that are loaded
    if not root.gInterpreter.Declare(_CODE):
        raise RuntimeError("ROOT's interpreter could not compile the loops that fill branches")
    return root.ntupleml


@contextmanager
def root_errors(where: str) -> Iterator[None]:
    """Turn ROOT's messages on the terminal into an error of ours; the first one tells the cause."""
    functions = compiled()
    functions.begin_collecting()
    failure: NtuplemlError | None = None
    try:
        yield
    except NtuplemlError as error:
        failure = error
    except ReferenceError as error:  # PyROOT met a null pointer: something that ROOT should have read is not there
        failure = NtuplemlError(f"{where}: ROOT cannot read it: {one_line(error)}; the file was left as it was")
    finally:
        functions.end_collecting()
    message = " ".join(str(functions.first_error).split())
    if failure is not None and message and str(failure).startswith(f"{where}: ROOT"):
        raise NtuplemlError(f"{failure} ({message}); the file was left as it was") from failure
    if failure is not None:
        raise failure
    if message:
        raise NtuplemlError(f"{where}: ROOT failed ({message}); the file was left as it was")
